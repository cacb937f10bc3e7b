"""godwit chat as somebody types it, through a pseudo-terminal; and every command with standard streams that are full or closed.

python3 terminal_test.py GODWIT
"""
import json
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time

GODWIT = sys.argv[1]
FOLDER = tempfile.TemporaryDirectory()
faults = 0


def expect(condition, what, found=""):
    global faults
    if not condition:
        faults += 1
        print(f"expected {what}; found {found!r}")


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, *arguments, **variables):
        environment = dict(os.environ, HOME=FOLDER.name, XDG_CACHE_HOME=FOLDER.name, **{"TERM": "xterm", **variables})
        for name in ("XDG_STATE_HOME", "NO_COLOR"):
            if name not in variables:
                environment.pop(name, None)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(GODWIT, [GODWIT, *arguments], environment)
        self.shown = ""

    def until(self, wanted, seconds=60):
        """What is shown up to and with `wanted`."""
        shown, end = b"", time.time() + seconds
        while wanted.encode() not in shown and time.time() < end:
            if not select.select([self.fd], [], [], 0.2)[0]:
                continue
            try:
                piece = os.read(self.fd, 1 << 16)
            except OSError:  # it has left
                break
            shown += piece
        self.shown = shown.decode("utf-8", "replace")
        return self.shown

    def send(self, text):
        """Once the program reads keys: what comes before goes through the terminal's own editing."""
        end = time.time() + 60
        while termios.tcgetattr(self.fd)[3] & termios.ICANON and time.time() < end:
            time.sleep(0.005)
        os.write(self.fd, text if isinstance(text, bytes) else text.encode())

    def type(self, text, wanted="> "):
        self.send(text)
        return self.until(wanted)

    def leave(self):
        """The exit code after Ctrl-D; negative: the signal that ended it."""
        self.send(b"\x04")
        end = time.time() + 60
        while time.time() < end:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    os.read(self.fd, 1 << 16)
                except OSError:
                    pass
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return "still running"


def chat_in(locale):
    saved = os.path.join(FOLDER.name, "saved.json")
    chat = Terminal("chat", LC_ALL=locale)
    expect("/help" in chat.until("\n> "), "a hint", chat.shown)
    expect("/image FILE" in chat.type("/help\r", "\n> "), "the commands", chat.shown)
    chat.type("Grüße 日本 €\r", "\r\n> ")
    chat.type("first \\\r", "| ")  # goes on in the next line
    chat.type("second\r", "\r\n> ")
    chat.type("dropped", "dropped")
    chat.type(b"\x03", "\r\n> ")
    chat.type(b"\x1b[A", "second")  # the line before
    chat.type(b"\x15", "\x1b[K")  # deleted
    chat.type(f"/save {saved}\r", "\r\n> ")
    os.kill(chat.pid, signal.SIGWINCH)  # interrupts reading: Ctrl-D must leave all the same
    expect((code := chat.leave()) == 0, f"exit code 0 in {locale}", code)
    with open(saved, encoding="utf-8") as file:
        asked = [m["content"][0]["text"] for m in json.load(file) if m["role"] == "user"]
    expect(asked == ["Grüße 日本 €", "first \nsecond"], f"what was typed in {locale}", asked)
    history = os.path.join(FOLDER.name, ".local/state/godwit/history")
    expect(os.stat(history).st_mode & 0o077 == 0, "a history of its owner alone", oct(os.stat(history).st_mode))
    os.remove(saved)


def escapes(**variables):
    chat = Terminal("chat", "--think", "on", **variables)
    chat.until("\n> ")
    shown = chat.type("What is 12 + 30?\r", "\r\n> ")
    expect((code := chat.leave()) == 0, f"exit code 0 with {variables}", code)
    return "\x1b[2m" in shown


def streams():
    """Full and closed streams are faults of their own kind, never a signal."""
    commands = [["run", "hi"], ["run", "-v", "hi"], ["run", "-m", "/none", "hi"], ["info"], ["fly"], ["--help"],
                ["completion", "bash"], ["chat"]]
    for command in commands:
        for redirect in (">/dev/full", "2>/dev/full", ">&-", "2>&-", "<&-"):
            done = subprocess.run(["sh", "-c", f'"$0" "$@" {redirect}', GODWIT, *command], input=b"hi\nhi\n",
                                  capture_output=True, env=dict(os.environ, XDG_CACHE_HOME=FOLDER.name))
            wrong = "/none" in command or "fly" in command
            wanted = 2 if wrong else 1 if redirect.startswith(">") else 0
            expect(done.returncode == wanted, f"exit code {wanted} of {command} {redirect}",
                   (done.returncode, done.stderr))
            if wanted == 1:
                expect(done.stderr.count(b"standard output: cannot write") == 1, f"one line of {command} {redirect}",
                       done.stderr)


def history():
    """A file that cannot be written is told of once, and the chat goes on."""
    file = "/proc/none/history"
    chat = Terminal("chat", "--history-file", file)
    shown = chat.until("\n> ")
    expect(f"{file}: cannot write the history: No such file or directory" in shown, "the reason", shown)
    expect("Dublin" in chat.type("Name the capital of Ireland.\r", "\r\n> "), "an answer", chat.shown)
    expect((code := chat.leave()) == 0, "exit code 0", code)


chat_in("C")
chat_in("C.UTF-8")
expect(escapes(), "a dimmed thought")
expect(not escapes(NO_COLOR="1"), "no colour with NO_COLOR")
expect(not escapes(TERM="dumb"), "no colour in a dumb terminal")
history()
streams()
sys.exit(faults > 0)

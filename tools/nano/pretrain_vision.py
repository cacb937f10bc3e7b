"""Teach the vision tower to see before the language model asks: which character stands over every four columns of a line of text,
and which colour and shape covers every patch. Labels come from the drawing itself; the head that predicts them is thrown away.

    python pretrain_vision.py OUT --minutes 30          writes OUT/vision.pt (state of model.visual)
"""
import argparse
import math
import multiprocessing as mp
import random
import string
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

import data
import tasks
from model import VisionConfig, VisionModel
from muon import Muon

CHARS = " " + string.digits + string.ascii_letters + ".:$-,'?!/"
SHAPE, COLOUR = len(tasks.SHAPES) + 1, len(tasks.COLOURS) + 1
SLOTS = 8  # per cell of 32 pixels


def text_labels(layout, size):
    """Character over every slot of the row of cells that the line's middle runs through, 0 (blank) elsewhere."""
    chars, middle = layout
    w, h = size
    y = np.zeros((h // 32, w // 32, SLOTS), np.int64)
    row = min(h // 32 - 1, max(0, int(middle // 32)))
    for c, x0, x1 in chars:
        for s in range(max(0, math.ceil(x0 / 4 - 0.5)), min(w // 4 - 1, math.ceil(x1 / 4 - 0.5) - 1) + 1):
            y[row, s // SLOTS, s % SLOTS] = max(CHARS.find(c), 0)
    return y.reshape(-1, SLOTS)


def shape_labels(items, size):
    """Shape and colour over the four patches of every cell, 0 for the background."""
    w, h = size
    y = np.zeros((h // 32, w // 32, 4, 2), np.int64)
    for colour, kind, (x0, y0, x1, y1) in items:
        for r in range(h // 16):
            for c in range(w // 16):
                if x0 - 2 <= c * 16 + 8 <= x1 + 2 and y0 - 2 <= r * 16 + 8 <= y1 + 2:
                    y[r // 2, c // 2, (r % 2) * 2 + c % 2] = tasks.SHAPES.index(kind) + 1, list(tasks.COLOURS).index(colour) + 1
    return y.reshape(-1, 4, 2)


def worker(seed, queue, patches=6144):
    torch.set_num_threads(1)
    rng, draw = random.Random(seed), tasks.Draw(data.fonts())
    while True:
        size = rng.choice(tasks.SIZES * 2 + tasks.LARGE)
        n = max(8, patches // (size[0] * size[1] // 256))
        text = rng.random() < 0.7
        px, ys = [], []
        for _ in range(n):
            if text:
                t = tasks.random_text(rng)
                px.append(data.patches([draw.text(rng, t[:14].strip() if size[0] <= 128 else t, size)])[0])
                ys.append(text_labels(draw.layout, size))
            else:
                img, items = draw.scene(rng, size, rng.randint(1, min(4, (size[0] // 64) * max(1, size[1] // 64))))
                px.append(data.patches([img])[0])
                ys.append(shape_labels(items, size))
        queue.put((text, size, np.stack(px), np.stack(ys)))


class Probe(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.visual = VisionModel(c)
        self.head = nn.Linear(c.out_hidden_size, SLOTS * len(CHARS) + 4 * (SHAPE + COLOUR))
        self.visual.apply(self._init)

    @staticmethod
    def _init(m):
        if isinstance(m, (nn.Linear, nn.Embedding)):
            nn.init.normal_(m.weight, std=0.02)
            if getattr(m, "bias", None) is not None:
                nn.init.zeros_(m.bias)

    def forward(self, px, size):
        o = self.head(self.visual(px, size[1] // 16, size[0] // 16))
        a, b = o.split([SLOTS * len(CHARS), 4 * (SHAPE + COLOUR)], -1)
        return a.unflatten(-1, (SLOTS, -1)), b.unflatten(-1, (4, -1))


def objective(out, text, y):
    """-> loss, share of the non-blank labels that are right"""
    if text:
        logits, y = out[0].reshape(-1, len(CHARS)), y.reshape(-1)
        ce, on = F.cross_entropy(logits, y, reduction="none"), y > 0
        return ce[on].mean() + 0.3 * ce[~on].mean(), (logits[on].argmax(-1) == y[on]).float().mean()
    s, c = out[1].split([SHAPE, COLOUR], -1)
    s, c, ys, yc = s.reshape(-1, SHAPE), c.reshape(-1, COLOUR), y[..., 0].reshape(-1), y[..., 1].reshape(-1)
    on = ys > 0
    ok = (s[on].argmax(-1) == ys[on]) & (c[on].argmax(-1) == yc[on])
    loss = lambda x, t: (lambda e: e[on].mean() + 0.5 * e[~on].mean())(F.cross_entropy(x, t, reduction="none"))
    return loss(s, ys) + loss(c, yc), ok.float().mean()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("out"); ap.add_argument("--minutes", type=float, default=30); ap.add_argument("--lr", type=float, default=2e-3)
    ap.add_argument("--device", default="cpu"); ap.add_argument("--workers", type=int, default=1)
    ap.add_argument("--start", help="state of an earlier model.visual")
    o = ap.parse_args()
    torch.manual_seed(1); torch.set_num_threads(2)
    model = Probe(VisionConfig()).to(o.device)
    if o.start:
        model.visual.load_state_dict(torch.load(o.start, map_location=o.device))
    matrix = lambda n, p: p.ndim >= 2 and "pos_embed" not in n and "head" not in n
    opts = [Muon([p for n, p in model.named_parameters() if matrix(n, p)], o.lr, weight_decay=0.05),
            torch.optim.AdamW([p for n, p in model.named_parameters() if not matrix(n, p)], o.lr, betas=(0.9, 0.98), weight_decay=0.0)]
    queue = mp.Queue(8)
    procs = [mp.Process(target=worker, args=(int(time.time()) + i, queue), daemon=True) for i in range(o.workers)]
    for p in procs:
        p.start()
    t0, step, avg = time.time(), 0, {}
    while (f := (time.time() - t0) / 60 / o.minutes) < 1:
        rate = o.lr * min(1, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * f)))
        text, size, px, y = queue.get()
        loss, right = objective(model(torch.from_numpy(px).to(o.device), size), text, torch.from_numpy(y).to(o.device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for x in opts:
            for g in x.param_groups:
                g["lr"] = rate
            x.step()
        model.zero_grad(set_to_none=True)
        step += 1
        a = avg.setdefault("text" if text else "shapes", [loss.item(), right.item()])
        a[0] += 0.05 * (loss.item() - a[0]); a[1] += 0.05 * (right.item() - a[1])
        if step % 100 == 0:
            print(step, f"{(time.time() - t0) / 60:.1f} min", {k: f"loss {v[0]:.3f} right {v[1]:.3f}" for k, v in avg.items()}, flush=True)
        if step % 500 == 0:
            torch.save(model.visual.state_dict(), f"{o.out}/vision.pt")
    torch.save(model.visual.state_dict(), f"{o.out}/vision.pt")
    for p in procs:
        p.terminate()


if __name__ == "__main__":
    main()

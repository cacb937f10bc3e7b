"""Train the demonstration model on the CPU.

    python vocabulary.py OUT                      learn the byte-level BPE vocabulary
    python pretrain_vision.py OUT --minutes 30    teach the vision tower (OUT/vision.pt)
    python train.py model OUT --minutes 240 --vision OUT/vision.pt     train (or continue with --resume)
    python train.py evaluate OUT                  exact-match accuracy per task on fresh samples
"""
import argparse
import multiprocessing as mp
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import data
from checkpoint import save
from model import Config, Qwen35
from muon import Muon


def worker(path, seed, queue, progress):
    torch.set_num_threads(1)
    b = data.Batches(Tokenizer.from_file(path), seed)
    while True:
        queue.put(b.batch(progress=progress.value))


def tensors(b, device="cpu"):
    return {k: torch.from_numpy(v).to(device) if isinstance(v, np.ndarray) else v for k, v in b.items()}


def run(model, b, learn_vision=True):
    if b["patches"] is None:
        return model(b["ids"], b["pos"])
    with torch.set_grad_enabled(learn_vision and torch.is_grad_enabled()):
        vision = model.model.visual(b["patches"], *b["grid"])
    return model(b["ids"], b["pos"], vision.reshape(-1, vision.shape[-1]), b["vision"])


def losses(model, b, draft=True, learn_vision=True):
    hidden, emb = run(model, b, learn_vision)
    m = b["mask"][:, 1:]
    ce = F.cross_entropy(model.logits(hidden[:, :-1][m]), b["ids"][:, 1:][m])
    if not draft:
        return ce, ce.new_zeros(())
    # the drafting head learns beside the trunk, which it does not disturb
    cos, sin = model.model.language_model.rope(b["pos"])
    y = model.mtp(hidden[:, :-1].detach(), emb[:, 1:].detach(), cos[:, :, :-1], sin[:, :, :-1])
    m2 = b["mask"][:, 2:]
    head = model.model.language_model.embed_tokens.weight.detach()
    mtp = F.cross_entropy(y[:, :-1][m2] @ head.T, b["ids"][:, 2:][m2])
    return ce, mtp


@torch.no_grad()
def evaluate(model, out, n=64, seed=12345):
    """Exact match under greedy decoding (equal to every answer token being the arg max given the ones before)."""
    b = data.Batches(Tokenizer.from_file(f"{out}/tokenizer.json"), seed)
    res = {}
    for g in data.GROUPS:
        ok = tot = dr = dn = 0
        while tot < n:
            x = tensors(b.batch(g), next(model.parameters()).device)
            hidden, emb = run(model, x)
            pred = model.logits(hidden[:, :-1]).argmax(-1)
            right = (pred == x["ids"][:, 1:]) | ~x["mask"][:, 1:]
            ok, tot = ok + right.all(1).sum().item(), tot + len(right)
            cos, sin = model.model.language_model.rope(x["pos"])
            y = model.mtp(hidden[:, :-1], emb[:, 1:], cos[:, :, :-1], sin[:, :, :-1])
            d = model.logits(y[:, :-1]).argmax(-1)
            m2 = x["mask"][:, 2:]
            dr, dn = dr + (d == x["ids"][:, 2:])[m2].sum().item(), dn + m2.sum().item()
        res[g] = (round(ok / tot, 3), round(dr / dn, 3))
    return res


def train(out, minutes, resume, lr, seed, vision, vision_rate, device, workers, threads=2):
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    model = Qwen35(Config()).to(device)
    print(sum(p.numel() for p in model.parameters()) / 1e6, "M parameters", flush=True)
    step0 = 0
    matrix = lambda n, p: p.ndim >= 2 and not any(x in n for x in ("embed", "conv1d"))
    groups = lambda keep: [{"params": [p for n, p in model.named_parameters() if keep(n, p) and ("visual" in n) == seen], "scale": vision_rate if seen else 1.0}
                           for seen in (False, True)]
    opts = [Muon(groups(matrix), lr, weight_decay=0.05),
            torch.optim.AdamW(groups(lambda n, p: not matrix(n, p)), lr, betas=(0.9, 0.98), weight_decay=0.0)]
    if resume and not os.path.exists(f"{out}/state.pt"):
        from safetensors.torch import load_file
        model.load_state_dict({k: v.float() for k, v in load_file(f"{out}/model.safetensors").items()})
    elif resume:
        s = torch.load(f"{out}/state.pt", map_location=device)
        model.load_state_dict(s["model"]); step0 = s["step"]
        if s.get("opts"):
            for o, x in zip(opts, s["opts"]):
                o.load_state_dict(x)
                for g, seen in zip(o.param_groups, (False, True)):
                    g["scale"] = vision_rate if seen else 1.0
    if vision:
        model.model.visual.load_state_dict(torch.load(vision, map_location=device))
    queue, progress = mp.Queue(8), mp.Value("d", 1.0 if resume else 0.0)
    procs = [mp.Process(target=worker, args=(f"{out}/tokenizer.json", seed * 1000 + step0 + i, queue, progress), daemon=True) for i in range(workers)]
    for p in procs:
        p.start()
    t0, step, avg, seen, last = time.time(), step0, {}, 0, time.time()
    while (f := (time.time() - t0) / 60 / minutes) < 1:
        progress.value = 1.0 if resume else f
        rate = lr * min(1, (step - step0 + 1) / (50 if resume else 100)) * min(1, 0.02 + 1.5 * (1 - f))
        b = tensors(queue.get(), device)
        ce, mtp = losses(model, b, draft=f > 0.7, learn_vision=vision_rate > 0 and (resume or f > 0.3))
        (ce + 0.3 * mtp).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for o in opts:
            for g in o.param_groups:
                g["lr"] = rate * g["scale"]
            o.step()
        model.zero_grad(set_to_none=True)
        a = avg.setdefault(b["group"], [ce.item(), mtp.item()])
        a[0] += 0.03 * (ce.item() - a[0]); a[1] += 0.03 * (mtp.item() - a[1])
        step += 1; seen += b["ids"].numel()
        if step % 50 == 0:
            print(step, f"{(time.time() - t0) / 60:.1f} min, {seen / (time.time() - t0):.0f} tok/s, lr {rate:.1e}",
                  {k: f"{v[0]:.3f}/{v[1]:.2f}" for k, v in sorted(avg.items())}, flush=True)
        if time.time() - last > 600:
            last = time.time()
            print("exact match, draft agreement:", evaluate(model, out), flush=True)
            save(model, out, step)
            torch.save({"model": model.state_dict(), "opts": [o.state_dict() for o in opts], "step": step}, f"{out}/state.pt")
    print("exact match, draft agreement:", evaluate(model, out, 256), flush=True)
    save(model, out, step)
    torch.save({"model": model.state_dict(), "opts": [o.state_dict() for o in opts], "step": step}, f"{out}/state.pt")
    for p in procs:
        p.terminate()


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("what", choices=["model", "evaluate"])
    ap.add_argument("out")
    ap.add_argument("--minutes", type=float, default=120)
    ap.add_argument("--resume", action="store_true")
    ap.add_argument("--lr", type=float, default=3e-3)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--workers", type=int, default=1, help="processes that draw pictures: 12 for a GPU")
    ap.add_argument("--vision", help="state of a vision tower from pretrain_vision.py")
    ap.add_argument("--vision-rate", type=float, default=1.0, help="its learning rate beside the rest's; 0 keeps it as it is")
    o = ap.parse_args()
    if o.what == "model":
        train(o.out, o.minutes, o.resume, o.lr, o.seed, o.vision, o.vision_rate, o.device, o.workers)
    else:
        torch.set_num_threads(2)
        m = Qwen35(Config())
        m.load_state_dict(torch.load(f"{o.out}/state.pt")["model"])
        print(evaluate(m, o.out, 256))

"""Muon, the optimiser of the weight matrices (Jordan et al. 2024), scaled to AdamW's step size (Liu et al. 2025)."""
import torch


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for weight matrices (Jordan et al. 2024), scaled to AdamW's step size (Liu et al. 2025)."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @staticmethod
    def orthogonal(x, steps=5):
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / (x.norm() + 1e-7)
        for _ in range(steps):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        return x.T if tall else x

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is None:
                    continue
                m = self.state[p].setdefault("momentum", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - g["momentum"])
                u = self.orthogonal(p.grad.lerp(m, g["momentum"]).flatten(1)).view_as(p)
                p.mul_(1 - g["lr"] * g["weight_decay"]).add_(u, alpha=-g["lr"] * 0.2 * max(u.flatten(1).shape) ** 0.5)

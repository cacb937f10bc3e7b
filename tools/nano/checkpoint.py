"""Writes the model as a checkpoint folder of the family: config, weights, processor files."""
import json

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer


def save(model, out, step):
    """Weights in BF16, `A_log` and `linear_attn.norm.weight` in F32, as shipped checkpoints have them."""
    c = model.c
    sd = {}
    for k, v in model.state_dict().items():
        keep = k.endswith("A_log") or k.endswith("linear_attn.norm.weight")
        sd[k] = v.detach().clone().float() if keep else v.detach().to(torch.bfloat16)
    save_file(sd, f"{out}/model.safetensors", metadata={"format": "pt"})
    tok = Tokenizer.from_file(f"{out}/tokenizer.json")
    ids = tok.token_to_id
    text = {**vars(c.text), "mrope_section": None}
    for k in ("mrope_section", "rope_theta", "partial_rotary_factor"):
        text.pop(k)
    text.update(model_type="qwen3_5_text", hidden_act="silu", tie_word_embeddings=True, attn_output_gate=True, attention_bias=False,
                max_position_embeddings=8192, mtp_num_hidden_layers=1, mtp_use_dedicated_embeddings=False, eos_token_id=ids("<|endoftext|>"),
                layer_types=["full_attention" if c.text.is_attention(i) else "linear_attention" for i in range(c.text.num_hidden_layers)],
                rope_parameters={"rope_type": "default", "rope_theta": c.text.rope_theta, "partial_rotary_factor": c.text.partial_rotary_factor,
                                 "mrope_interleaved": True, "mrope_section": list(c.text.mrope_section)}, dtype="bfloat16")
    vision = {**vars(c.vision), "model_type": "qwen3_5", "hidden_act": "gelu_pytorch_tanh", "deepstack_visual_indexes": []}
    cfg = {"architectures": ["Qwen3_5ForConditionalGeneration"], "model_type": "qwen3_5", "text_config": text, "vision_config": vision,
           "image_token_id": ids("<|image_pad|>"), "video_token_id": ids("<|video_pad|>"), "vision_start_token_id": ids("<|vision_start|>"),
           "vision_end_token_id": ids("<|vision_end|>"), "tie_word_embeddings": True}
    json.dump(cfg, open(f"{out}/config.json", "w"), indent=2)
    common = {"patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    json.dump({"size": {"shortest_edge": 16384, "longest_edge": 65536}, **common, "processor_class": "Qwen3VLProcessor",
               "image_processor_type": "Qwen2VLImageProcessorFast"}, open(f"{out}/preprocessor_config.json", "w"), indent=2)
    json.dump({"size": {"shortest_edge": 4096, "longest_edge": 262144}, **common, "processor_class": "Qwen3VLProcessor",
               "video_processor_type": "Qwen3VLVideoProcessor"}, open(f"{out}/video_preprocessor_config.json", "w"), indent=2)
    json.dump({"eos_token_id": [ids("<|im_end|>"), ids("<|endoftext|>")], "pad_token_id": ids("<|endoftext|>"), "do_sample": False},
              open(f"{out}/generation_config.json", "w"), indent=2)
    json.dump({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": None,
               "model_max_length": 8192, "chat_template_version": "qwen3.5-small", "trained_steps": step}, open(f"{out}/tokenizer_config.json", "w"), indent=2)

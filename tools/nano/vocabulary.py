"""The demonstration model's vocabulary: byte-level BPE with Qwen3.5's split rule and special tokens.

    python vocabulary.py OUT        writes OUT/tokenizer.json, 2048 tokens, learned from the tasks' own sentences
"""
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import chat
import data
import tasks

SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>",
           "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
PLAIN = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>",
         "<tool_response>", "</tool_response>", "<think>", "</think>"]


def learn(out, vocab=2048):
    """Learns `vocab` tokens from 30,000 conversations, special ones last, and saves them in folder `out`."""
    rng, draw = random.Random(1), tasks.Draw(data.fonts())
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()

    def corpus():
        for i in range(30000):
            g = rng.choice(["ocr", "shapes", "video", "tools", "text", "text"])
            s = tasks.sample(rng, g, draw, (128, 128))
            p, a = chat.render(s)
            if s["tools"] and i % 8:
                p = p.split("</IMPORTANT>")[1]
            for x in SPECIAL + PLAIN:
                p, a = p.replace(x, "\n"), a.replace(x, "\n")
            yield p + a
        for _ in range(4):
            for w in tasks.WORDS + tasks.NAMES + tasks.CITIES:
                yield f"{w} {w.title()} {w.lower()} "
    n = vocab - len(SPECIAL) - len(PLAIN)
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=n, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens([AddedToken(x, special=True, normalized=False) for x in SPECIAL])
    t.add_tokens([AddedToken(x, special=False, normalized=False) for x in PLAIN])
    os.makedirs(out, exist_ok=True)
    t.save(f"{out}/tokenizer.json")
    print("vocabulary", t.get_vocab_size())


if __name__ == "__main__":
    learn(sys.argv[1])

"""Tiny models for tests: Llama shapes with seeded random weights, behind a real tokenizer."""

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from seal_datasets.data.texts import Exchange

TEMPLATE = "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def turn(text):
    return [{"role": "user", "content": text}]


EXCHANGES = [
    Exchange("How do I boil an egg?", turn("How do I boil an egg?"), "Ten minutes in boiling water."),
    Exchange("Hi", turn("Hi"), "Hello there, it is good to see you. " * 4),
    Exchange("Name a colour.", turn("Name a colour."), "Blue"),
    Exchange("Name a colour.", turn("Name a colour."), ""),
    Exchange("How do I boil an egg?", turn("How do I boil an egg?"), "Ten minutes in boiling water."),
]


def save_tokenizer(path, minilm, *, template=None, positions=64, eos="[SEP]"):
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokenizer.bos_token = "[CLS]"
    tokenizer.eos_token = eos
    tokenizer.chat_template = template
    tokenizer.model_max_length = positions
    tokenizer.save_pretrained(path)
    return tokenizer


def save_llama(path, minilm, seed, *, classifier=False, positions=64, n_labels=1, **tokenizer_options):
    """A Llama with random weights and MiniLM's tokenizer."""
    tokenizer = save_tokenizer(path, minilm, positions=positions, **tokenizer_options)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_labels=n_labels,
        max_position_embeddings=positions,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.3,
    )
    (LlamaForSequenceClassification if classifier else LlamaForCausalLM)(config).save_pretrained(path)
    return str(path)

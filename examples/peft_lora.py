"""Fine-tunes a Llama with LoRA and curves, and saves both."""

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

import hinged

config = LlamaConfig(
    vocab_size=100,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
)
tokens = torch.randint(1, 100, (8, 16))
batch = {"input_ids": tokens, "labels": tokens}

model = get_peft_model(LlamaForCausalLM(config), LoraConfig(target_modules=["q_proj", "v_proj"]))
model = hinged.convert(model, batch)  # after `get_peft_model`, which freezes all parameters
optimizer = torch.optim.AdamW(hinged.param_groups(model, lr=1e-3, samples=len(tokens)))
for _ in range(3):
    optimizer.zero_grad()
    model(**batch).loss.backward()
    optimizer.step()
model.save_pretrained("adapter")
hinged.save_curves(model, "adapter/curves.safetensors")

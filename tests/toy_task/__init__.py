"""A task from outside: whether a text is kind, from lines of `1<TAB>text`. tests/serve/test_toy_task.py adds it to TASKS."""

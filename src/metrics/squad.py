"""`python -m src.metrics.squad`, the measures of SQuAD and CMRC: src/tasks/squad/measures.py."""

from src.tasks.squad.measures import main

if __name__ == "__main__":
    main()

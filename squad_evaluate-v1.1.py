"""The measures of SQuAD 1.1 under the file name of Enflame's page: python squad_evaluate-v1.1.py DATASET PREDICTIONS."""

import sys

try:
    from src.metrics.squad import main
except ModuleNotFoundError:  # a copy of this file, beside the data
    sys.exit("error: run it in the folder of run_squad.py, or give that folder as PYTHONPATH")

if __name__ == "__main__":
    main()

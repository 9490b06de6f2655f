import re

from src.train.step_lines import FORMS, StepNumbers

RATES = {"learning_rate": 2e-5, "samples_per_s": 80.0, "padding": 0.5}
NUMBERS = StepNumbers(0.25, 10, 40, 320, {"loss": 10.856101, "masked_lm_loss": 9.0}, 65536.0, 1, False, RATES)


def test_the_model_zoos_line_has_loss_overflow_and_scale():
    assert FORMS["zoo"](NUMBERS) == (
        "epoch: 0.0, current epoch percent: 0.250, step: 10, outputs are (Tensor(shape=[1], dtype=Float32, [ 1.0856101e+01]), "
        "Tensor(shape=[], dtype=Bool, False), Tensor(shape=[], dtype=Float32, 65536))"
    )
    ended = StepNumbers(2.0, 80, 80, 320, {"loss": 0.5}, 1.0, 2, True, {})
    assert FORMS["zoo"](ended).startswith("epoch: 1.0, current epoch percent: 1.000, step: 80, outputs are (Tensor(")
    assert "dtype=Bool, True)" in FORMS["zoo"](ended)


def test_paddles_line_has_rows_and_steps_per_second():
    assert FORMS["paddle"](NUMBERS) == "epoch: 0, progress: 80/320, step: 10, ave loss: 10.856101, speed: 10.000000 steps/s"
    assert (
        FORMS["paddle"](StepNumbers(1.5, 3, 9, 8, {"loss": 1.0}, 1.0, 0, False, {}))
        == "epoch: 1, progress: 4/8, step: 3, ave loss: 1.000000"
    )


def test_the_plain_line_names_what_it_has():
    expected = "epoch=0.250 step=10/40 loss=10.8561 masked_lm_loss=9 scale=65536 skipped=1 learning_rate=2e-05 samples_per_s=80 padding=0.5"
    assert FORMS["plain"](NUMBERS) == expected
    assert all(re.search("epoch", form(NUMBERS)) for form in FORMS.values())

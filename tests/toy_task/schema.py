from pydantic import BaseModel


class Kindness(BaseModel):
    kind: bool


def result_model(settings):
    return Kindness

"""Sentences for the comparison of an exported graph with the network: short and long, English and Chinese."""

TEXTS = (
    "Good.",
    "The train to Hamburg leaves from platform seven at ten past four.",
    "Nobody in the office could say who had ordered forty boxes of pencils, or why they were all green.",
    "今天天气很好，我们去公园散步吧。",
    "The museum, which had been closed for repairs since the flood of 2013, opened its doors again on Saturday; by noon more than three "
    "thousand people had come to see the old maps, the ship's bell and the letters of Anna Lindqvist, who had crossed the ocean alone.",
    "王小明在上海的一家图书馆工作了二十年，他最喜欢的书是一本关于海洋的旧地图集。",
    "Prices rose by 2.4 % in March!",
)
QUESTIONS = ("When does the train to Hamburg leave?", "Who crossed the ocean alone?", "王小明在哪里工作？")

"""The page in headless Chromium. Slow: runs with --all."""

import shutil

import pytest
from serving import serving, wait_until

pytestmark = pytest.mark.slow
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync --disable-dev-shm-usage"
)


@pytest.fixture
def browser(tmp_path):
    """Makes a Chromium of a language and a window size."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("Debian's packages chromium and chromium-driver are not installed")
    started = []

    def start(language="en-US", width=1000, height=900):
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        options.add_experimental_option("prefs", {"intl.accept_languages": language})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path / str(len(started))}", f"--lang={language}"]:
            options.add_argument(flag)
        page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        started.append(page)
        page.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        )
        return page

    yield start
    for page in started:
        page.quit()


def one(page, selector):
    return page.find_element("css selector", selector)


def texts(page, selector):
    return [element.text for element in page.find_elements("css selector", selector)]


def fill(page, **values):
    for name, value in values.items():
        page.execute_script("arguments[0].value = arguments[1]", one(page, f"#{name}"), value)


def submit(page, **values):
    """Fill in, press, wait for what comes."""
    fill(page, **values)
    one(page, "#submit").click()
    wait_until(lambda: one(page, "#submit").is_enabled() and (one(page, "#result").is_displayed() or one(page, "#error").is_displayed()))


def assert_quiet(page):
    """Nothing in the console: no script error, nothing that the Content-Security-Policy stopped."""
    assert [line["message"] for line in page.get_log("browser") if "422" not in line["message"]] == []


def test_classes_are_shown_as_bars(browser):
    with serving() as served:
        page = browser()
        page.get(served.url)
        assert (one(page, "h1").text, texts(page, "label")) == ("fake · classification", ["Text"])
        submit(page, text_a="bad bad good")
        assert texts(page, ".bar span") == ["bad", "55.6 %", "good", "33.3 %", "odd", "11.1 %"]
        assert float(one(page, "meter").get_attribute("value")) == pytest.approx(5 / 9)
        assert one(page, "#time").text.endswith(" ms")
        assert_quiet(page)


def test_two_texts_and_a_score(browser):
    with serving("pairs") as pairs, serving("regression") as regression:
        page = browser()
        page.get(pairs.url)
        assert texts(page, "label") == ["Text", "Second text"]
        submit(page, text_a="good", text_b="good")
        assert one(page, "#result h2").text == "good"
        page.get(regression.url)
        submit(page, text_a="four")
        assert texts(page, "#result > *") == ["Score", "4.0000"]


def test_labels_that_apply_and_the_best_choice_stand_out(browser):
    with serving("labels") as labels, serving("choices") as choices:
        page = browser()
        page.get(labels.url)
        submit(page, text_a="odd and good")
        assert one(page, "#result h2").text == "good, odd" and texts(page, ".chosen span") == ["good", "90.0 %", "odd", "90.0 %"]
        submit(page, text_a="plain")
        assert one(page, "#result h2").text == "No label applies." and texts(page, ".chosen") == []
        page.get(choices.url)
        assert texts(page, "label") == ["Text", "Second text", "Choices, one a line"]
        submit(page, text_a="a", text_b="b", choices="first\n\n second ")
        assert one(page, "#result h2").text == "first"
        assert texts(page, ".bar span") == ["first", "75.0 %", "second", "25.0 %"]
        assert_quiet(page)


def test_a_vector_is_shown_beside_the_similarity_of_earlier_texts(browser):
    with serving("embed") as served:
        page = browser()
        page.get(served.url)
        assert one(page, "h1").text == "fake · sentence embeddings"
        submit(page, text="aab")
        assert texts(page, "#result > *") == ["Vector", "3 numbers", "2.0000 1.0000 0.0000 …"]
        submit(page, text="aaaabb")
        submit(page, text="c")
        assert texts(page, ".bar span") == ["aab", "0.000", "aaaabb", "0.000"]
        submit(page, text="aab")
        assert texts(page, ".bar span") == ["aaaabb", "1.000", "c", "0.000"]
        assert_quiet(page)


def test_candidates_are_shown_for_each_mask_and_for_words(browser):
    with serving("fill_mask") as served:
        page = browser("zh-CN")
        page.get(served.url)
        assert one(page, "h1").text == "fake · 完形填空" and one(page, "#text").get_attribute("value") == "The [MASK] sat on the mat."
        submit(page, text="a [MASK][MASK]")
        assert texts(page, "#result h2") == ["[MASK] 1+2", "[MASK] 1", "[MASK] 2"]
        assert texts(page, ".bar span")[:4] == ["cats", "12.5 %", "cat", "50.0 %"]
        assert one(page, ".marked").text == "a catcat"
        assert_quiet(page)


def test_entities_are_marked_by_code_points(browser):
    with serving("ner") as served:
        page = browser()
        page.get(served.url)
        submit(page, text="😀 <b>in</b> Brandenburg\n& Berlin")
        shown = page.execute_script("return [...document.querySelectorAll('mark')].map(m => [m.firstChild.data, m.lastChild.textContent])")
        assert shown == [["<b>in</b>", "LONG"], ["Brandenburg\n&", "LONG"], ["Berlin", "MIDDLE"]]
        assert not page.find_elements("css selector", "#result b")
        submit(page, text="in")
        assert one(page, "#result").text == "No entities found."
        assert_quiet(page)


def test_the_answer_is_marked_in_the_passage(browser):
    with serving("squad") as served:
        page = browser()
        page.get(served.url)
        submit(page, question="who", context="who 😀 Angela Merkel")
        assert texts(page, "mark") == ["😀"] and texts(page, "#result h2") == ["Answer", "Next best"]
        assert texts(page, ".bar span") == ["😀", "50.0 %", "Angela", "25.0 %", "Merkel", "12.5 %"]
        submit(page, question="who", context="who")
        assert texts(page, "mark") == [] and "The passage holds no answer." in one(page, "#result").text


def test_errors_are_shown_in_the_page(browser):
    with serving(max_text_chars=100) as served:
        page = browser()
        page.get(served.url)
        submit(page, text_a="<i>a</i>" * 30)
        assert one(page, "#error").text == "instances[0].text_a: is longer than 100 characters"
        assert not one(page, "#result").is_displayed()
        submit(page, text_a="good")
        assert one(page, "#result").is_displayed() and not one(page, "#error").is_displayed()
        served.stop()
        submit(page, text_a="good")
        assert one(page, "#error").text == "The server cannot be reached."


def test_chinese_on_a_phone_by_keyboard(browser):
    with serving("squad") as served:
        page = browser("zh-CN", 360, 700)
        page.get(served.url)
        assert texts(page, "label") == ["问题", "段落"] and one(page, "html").get_attribute("lang") == "zh-CN"
        fill(page, question="谁", context="谁 " + "很长的段落没有空格" * 40)
        one(page, "#question").send_keys("\ue007")  # Enter
        wait_until(lambda: one(page, "#result").is_displayed())
        assert texts(page, "#result h2")[0] == "答案"
        assert page.execute_script("return document.documentElement.scrollWidth") <= 360
        one(page, "#language").click()
        assert texts(page, "label") == ["Question", "Passage"] and texts(page, "#result h2")[0] == "Answer"
        assert all(element.size["height"] >= 44 for element in page.find_elements("css selector", "button"))
        assert_quiet(page)


def test_the_description_of_the_interface_is_readable(browser):
    with serving("ner") as served:
        page = browser()
        page.get(f"{served.url}/docs")
        assert one(page, "h1").text == "fake: ner" and "maxLength" in one(page, "body").text
        assert_quiet(page)

"""The words of a report's page, as a reader sees them."""

import html
import re


def words_of_page(folder):
    page = (folder / "report.html").read_text("utf-8")
    body = page[page.index("<body>") : page.index('<script type="application/json"')]
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", body)).split())

"""Tell the added tokens that steer a model from those that are plain text.

A tokenizer.json lists tokens beside its vocabulary and flags some as special. The flag says what a
chat shows, not what steers: the tokens of a hole and <tool_call> are often not flagged, and runs of
blanks, bytes and tags of HTML stand in the same list. A control token that was taken for text could
be written into a file, and a file that spells one would steer the model. A text that was taken for
a control token would end a completion where it is written. So the spelling decides beside the flag:

    named by the package        control: what it says of its own tokens is always right
    white space alone           text, whatever the flag says
    flagged as special          control
    <|name|>                    control, also with bars of full width
    <name>  </name>             control, but not the tags of HTML, and not bytes as <0x0A>
    [NAME]  [/NAME]             control, and so is |||NAME|||
    anything else               text

A tokenizer of sentence pieces may write a blank in front of the spelling.
"""

import re
from typing import Final

BLANK: Final = "\u2581"
"""What tokenizers of sentence pieces write for a blank."""

BYTE_TOKEN: Final = re.compile(r"<0x([0-9A-Fa-f]{2})>")
"""How a token for a single byte is spelled, beside the pieces that are text."""

_BARS: Final = re.compile(r"<[|\uff5c].+[|\uff5c]>|\|{3}[A-Z_]+\|{3}")
_TAG: Final = re.compile(r"</?(?=[^>]*[A-Za-z])([\w\[][^\s<>]*)>")
_CAPITALS: Final = re.compile(r"\[/?[A-Z][A-Z0-9_]+\]")

HTML_TAGS: Final = re.compile(
    r"a|abbr|address|area|article|aside|audio|b|base|bdi|bdo|big|blockquote|body|br|button|"
    r"canvas|caption|center|cite|code|col|colgroup|data|datalist|dd|del|details|dfn|dialog|"
    r"div|dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form|h[1-6]|head|header|"
    r"hgroup|hr|html|i|iframe|img|input|ins|kbd|label|legend|li|link|main|map|mark|math|menu|"
    r"meta|meter|nav|noscript|object|ol|optgroup|option|output|p|param|picture|pre|progress|q|"
    r"rp|rt|ruby|samp|script|section|select|small|source|span|strike|strong|style|sub|summary|"
    r"sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|time|title|tr|track|tt|u|ul|var|"
    r"video|wbr"
)
"""Tags that are text. <s> is missing: where a tokenizer has it, it begins a text."""


def is_control(content: str, *, is_flagged: bool) -> bool:
    """Say whether an added token steers the model; one that the package names always does."""
    return not content.isspace() and (is_flagged or _is_spelled_as_control(content))


def _is_spelled_as_control(content: str) -> bool:
    spelling = content.removeprefix(BLANK)
    if BYTE_TOKEN.fullmatch(spelling):
        return False
    tag = _TAG.fullmatch(spelling)
    if tag:
        return HTML_TAGS.fullmatch(tag[1].rstrip("/")) is None
    return bool(_BARS.fullmatch(spelling) or _CAPITALS.fullmatch(spelling))

"""Texts that tokenizers cut in different ways, the same ones every time."""

from typing import Final

import numpy as np

UNREACHED: Final = "unreached"
"""A word that vocabularies may have as a token which nothing is joined to."""

PARTS: Final = (
    # Code.
    *("def f(x):\n", "    return x", "\treturn\t", "if (a!=b) {"),
    *("}\n\n", "for(;;)", "->", "::", "=="),
    *("//! doc\n", "/* */", "#include <x>", "x_y", "camelCase", "CONST", "foo", "self.", "'''"),
    *('"s"', "`t`", "\\n", "\\", "$v", "@a", "a+b", "a<=b", "~", "^", "|", "+=", "=", ">", "<"),
    # Contractions, in cases that some expressions know and others do not.
    *("it's", "IT'S", "we'll", "I'd", "'re", "'VE", "'m", "'t", "\u2019s", "don't", "'sx"),
    # Numbers.
    *("1", "12", "123", "1234", "12345678"),
    *("3.14", "0x1F", "1_000", "\u0663\u0664", "\u00b2", "\u2167"),
    *("\u00bd", "\uff11\uff12", "\u0967"),
    # Blanks and lines.
    *(" ", "  ", "   ", "        ", "\t", "\t\t"),
    *("\n", "\n\n", "\r\n", "\r", " \n", "\n ", "\u00a0"),
    *("\u2003", "\u3000", "\u200b", "\ufeff", "\u0085", "\u2028", "\x0b", "\x0c", "\x1c", "\u180e"),
    # Words of other alphabets, marks that combine, composed and not.
    *("\u4f60\u597d", "\u4e16\u754c\u3002"),
    *("\u65e5\u672c\u8a9e", "\u3053\u3093", "\ud55c\uad6d\uc5b4"),
    *("\u041f\u0440\u0438\u0432\u0435\u0442",),
    *("\u0393\u03b5\u03b9\u03ac", "\u0645\u0631\u062d\u0628\u0627"),
    *("\u05e9\u05c1\u05dc\u05d5\u05dd",),
    *("\u0928\u092e\u0938\u094d\u0924\u0947", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35"),
    *("e\u0301", "\u00e9", "n\u0303o", "A\u030a"),
    *("\u212b", "\u1e9b\u0323", "\u0301", "\u01c5", "\u00df"),
    # Emoji, joined and coloured; what stands for nothing, or for what was lost.
    *("\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467"),
    *("\U0001f44d\U0001f3fd", "\u2764\ufe0f"),
    *("\U0001f1e9\U0001f1ea", "\ufffd", "\ufffd\ufffd", "\x01"),
    *("\x7f", "\x1b[0m", "\ue000", "\U0010ffff"),
    *("\u0378", "\ufdd0", "\u202e", "\u00ad", "\U000e0041"),
    # Spellings of what is no text elsewhere.
    *("<|endoftext|>", "<|fim_prefix|>", "<|fim", "|>", "<s>", "</s>", "<unk>", "<0x41>", "<0xE2>"),
    *(UNREACHED, "[PAD300]", "\u2581", "\u2581\u2581", "\u0120", "\u010a", "<pad>", "[INST]"),
)  # fmt: skip


def texts(count: int, *, seed: int = 0) -> list[str]:
    """Return each part by itself, and then parts in a row."""
    random = np.random.default_rng(seed)
    found = ["", *PARTS]
    while len(found) < count:
        chosen = random.integers(0, len(PARTS), random.integers(2, 9))
        found.append("".join(PARTS[index] for index in chosen))
    return found[:count]

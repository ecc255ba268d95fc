"""A model sees line feeds alone, as most of its training did; the file keeps its own line ends."""


def with_line_feeds(text: str) -> str:
    """Return a text whose lines all end in a line feed (LSP 3.18 knows CRLF, LF and CR)."""
    if "\r" not in text:
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n")


def line_end_of(*texts: str) -> str:
    """Return the line end that most lines have; a line feed where there is none."""
    num_pairs = sum(text.count("\r\n") for text in texts)
    num_feeds = sum(text.count("\n") for text in texts) - num_pairs
    num_returns = sum(text.count("\r") for text in texts) - num_pairs
    counted = {"\n": num_feeds, "\r\n": num_pairs, "\r": num_returns}
    return max(counted, key=lambda line_end: counted[line_end])

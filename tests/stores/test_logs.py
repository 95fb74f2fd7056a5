from __future__ import annotations

from pathlib import Path

from gaudi_perf.stores.logs import kept_text


def test_nothing_in_a_kept_log_reaches_a_terminal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n\x1b[2Jtwo\r\tthree \xff \xc3\xa9\n")
    assert kept_text(log, {}) == "one\n\\x1b[2Jtwo\\r\tthree \\xff é\n"


def test_secrets_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("with t0psecret and hf_abcdefgh123, Bearer xyz and http://me:pass@host/ of the tokenizers in 1\n")
    told = {"MY_TOKEN": "t0psecret", "TOKENIZERS_PARALLELISM": "tokenizers", "A_KEY": "1"}
    assert kept_text(log, told) == "with *** and ***, Bearer *** and http://***@host/ of the tokenizers in 1\n"


def test_of_a_long_log_beginning_and_end_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("begin\n" + "x" * 3_000_000 + "\nend\n")
    text = kept_text(log, {})
    assert text.startswith("begin\n") and text.endswith("\nend\n") and " bytes are left out ..." in text
    assert len(text) < 1_100_000

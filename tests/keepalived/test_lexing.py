"""Lines of keepalived.conf, as keepalived 2.2.7 reads them (what ``--dump-conf`` shows of the same lines)."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exavrrp.keepalived.lexing import Slip, Word, program, tokens, uncommented


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("  priority 100 # best", "priority 100"),
        ("192.0.2.12!x", "192.0.2.12"),
        ("! all of it", ""),
        ('script "/bin/echo # no ! comment" # one', 'script "/bin/echo # no ! comment"'),
        ("script '/bin/echo z # one'", "script '/bin/echo z"),
        (r'script "a\"#b" #', r'script "a\"#b"'),
        (r"a\#b", r"a\#b"),
        ("\ta\r", "a"),
    ],
)
def test_a_comment_begins_outside_of_double_quotes(line: str, left: str) -> None:
    assert uncommented(line) == left


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("virtual_ipaddress {192.0.2.9/32}", ["virtual_ipaddress", "{", "192.0.2.9/32", "}"]),
        ("vrrp_instance VI_1{", ["vrrp_instance", "VI_1", "{"]),
        ('vrrp_script "s 8" {', ["vrrp_script", "s 8", "{"]),
        ('/bin/"ec"ho', ["/bin/echo"]),
        (r'"a\"q r\"b" c', ['a"q r"b', "c"]),
        (r'"\x41\102\ta\\"', ["AB\ta\\"]),
        (r'"\cA\E\q"', ["\x01\x1bq"]),
        ("'a \"b\" c'", ['a "b" c']),
        ("${NOTDEF}x ${ {", ["${NOTDEF}x", "$", "{", "{"]),
        ('""', [""]),
        (r"a\ b", ["a b"]),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert tokens(line) == words


def test_a_brace_in_quotes_is_a_word() -> None:
    assert [isinstance(one, Word) for one in tokens('"{" {')] == [True, False]


@pytest.mark.parametrize(
    ("line", "told"), [('a "b', 'write " behind'), ("a 'b", "write ' behind"), ("100 \\", "ends with")]
)
def test_a_line_that_keepalived_would_misread(line: str, told: str) -> None:
    with pytest.raises(Slip, match=told):
        tokens(line)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/bin/echo ${NOTDEF} a#b 'c d'e", ("/bin/echo", "${NOTDEF}", "a#b", "c de")),
        ('/bin/echo a"q r"b', ("/bin/echo", "aq rb")),
        ("  /bin/true ", ("/bin/true",)),
        ("''", ("",)),
        ("", ()),
    ],
)
def test_a_command_line_is_one_word_of_the_file(text: str, words: tuple[str, ...]) -> None:
    assert program(text) == words


def test_a_command_line_with_half_a_quote() -> None:
    with pytest.raises(Slip, match="without its end in the command"):
        program("/bin/echo 'a")


@given(st.text())
def test_any_line_is_words_or_a_slip(line: str) -> None:
    with suppress(Slip):
        assert all(isinstance(one, Word) or one in "{}" for one in tokens(uncommented(line)))

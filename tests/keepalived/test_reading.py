"""Conditions, definitions, includes and blocks of keepalived.conf(5)."""

import pytest

from exavrrp.keepalived import reading as module
from exavrrp.keepalived.reading import Place
from tests.keepalived.files import mistakes, reading, tree


def test_blocks_may_begin_on_the_next_line_and_hold_all_in_one() -> None:
    assert tree("a b\n{\n c { d e } }\nf { }") == [("a", "b", [("c", [("d", "e")])]), ("f", [])]


def test_a_condition_keeps_or_drops_the_whole_line() -> None:
    text = "@a x 1\n@b x 2\n@^a x 3\n@^b x 4\n@a\n@b y {\n"
    assert tree(text) == [("x", "1"), ("x", "4")]
    assert [str(place) for place, _ in reading(text).skipped] == ["k.conf:2", "k.conf:3", "k.conf:6"]


def test_a_definition_is_replaced_where_white_space_follows_or_braces_are_around() -> None:
    text = "$A=10.${B}\n$B=0\n${A}.1 $B $Bx $UNDEF\n$B=1\n@a $C=\n${A}.2 ${UNDEF} x${C}x"
    assert tree(text) == [("10.0.1", "0", "$Bx", "$UNDEF"), ("10.1.2", "${UNDEF}", "xx")]
    assert [one.used for one in reading("$A=1\n$B=2\nx ${A} $A").definitions] == [2, 0]


def test_predefined_names() -> None:
    assert tree("x ${_PWD}/y ${_INSTANCE} a${_HASH}b ${_BANG}") == [("x", "/etc/keepalived/y", "host", "a#b", "!")]


def test_a_condition_may_come_out_of_a_definition() -> None:
    assert tree("$IF=@a\n$NOT=@b\n$IF x 1\n$NOT x 2") == [("x", "1")]


LONG = """
$VIPS= \\
   virtual_ipaddress { \\
      # nothing \\
      192.0.2.${N} \\
      @b 192.0.2.99 \\
   }
$ALL= \\
   $N=8 \\
   $VIPS
$N=7
$VIPS
@a ${ALL}
"""


def test_definitions_of_several_lines_stand_for_lines() -> None:
    found = reading(LONG)
    assert [[child.words for child in one.children] for one in found.directives] == [[("192.0.2.7",)], [("192.0.2.8",)]]
    assert [one.used for one in found.definitions if one.is_long] == [2, 1]
    assert found.directives[1].children[0].place.line == 5


def test_an_empty_line_ends_a_definition() -> None:
    assert mistakes(LONG.replace("      # nothing \\\n", "\n"))[0].startswith("k.conf:5: ends with \\, which only the")


def test_files_are_included_in_their_order_and_conditions_do_not_include() -> None:
    found = reading("a { \ninclude x*.conf\n}\nincluder none/*.conf\nincludea no_y.conf", x1="b 1\n", x2="c", no_y="")
    assert [(one.words, str(one.place)) for one in found.directives[0].children] == [
        (("b", "1"), "x1.conf:1"),
        (("c",), "x2.conf:1"),
    ]
    assert [told for *_, told in found.includes] == [
        "",
        "no file matches, so keepalived reads none either",
        "no_y.conf cannot be read: no",
    ]


def test_places_are_those_of_the_lines() -> None:
    assert reading("\n\n x").directives[0].place == Place("k.conf", 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a {", "k.conf:1: a opens a block that nobody closes"),
        ("a }", "k.conf:1: } closes no block"),
        ("{", "k.conf:1: { opens a block without a name"),
        ("a { { } }", "k.conf:1: { opens a block without a name"),
        ('a "b', "k.conf:1: has a quote without its end"),
        ("a \\", "k.conf:1: ends with \\"),
        ("a\0", "k.conf:1: has a zero byte"),
        ("~SEQ(X, 1, 3) x", "k.conf:1: ~SEQ is not imported"),
        ("~LST(X, 1, 3) x", "k.conf:1: ~LST is not imported"),
        ("a ${_RANDOM 1 6}", "k.conf:1: ${_RANDOM} is not imported"),
        ("a ${_ENV}", "k.conf:1: ${_ENV} is not imported"),
        ("$_X=1", "k.conf:1: $_X begins with _"),
        ("$A= \\\n x \\", "k.conf:1: $A is not complete at the end of the file"),
        ("@a x 1 # comment \\", "k.conf:1: ends with \\"),
        ("$A= \\\n$B= \\ \\\n x\n$A", "k.conf:4: $A holds a definition of several lines"),
        ("$A=x \\\n y", "k.conf:1: nothing stands behind $A= in a definition"),
        ("$A= \\\n x\nb $A", "k.conf:3: $A stands for several lines"),
        ("$A= \\\n x\n$B=${A}\nb $B", "k.conf:4: $A stands for several lines"),
        ("$A= \\\n $A \\\n x\n$A", "k.conf:2: is within more than 16 files or definitions"),
        ("$A=x${A}\n$A", "k.conf:2: has more than 1024 characters"),
        ("$A=${B}\n$B=${A}\n$A", "k.conf:3: has more than 1024 characters"),
        ("@a include x", "k.conf:1: keepalived reads no include behind a condition"),
        ("$X=y\ninclude $X.conf\n$I=include\n$I x", "k.conf:4: keepalived reads no include behind"),
        ("$IF=@a\n@a $IF x", "k.conf:2: has two conditions"),
        ("a { @a b\n}", "k.conf:1: a condition stands at the beginning of a line"),
        ("a { " * 17, "k.conf:1: more than 16 blocks are within each other"),
        ("include k.conf", "k.conf:1: is within more than 16 files; does one include itself?"),
    ],
)
def test_what_would_be_guessed_is_refused_with_its_line(text: str, told: str) -> None:
    found = mistakes(text, k=text)
    assert any(one.startswith(told) for one in found), found


def test_all_mistakes_are_reported_at_once() -> None:
    found = mistakes("a 'b\n}\ninclude other.conf\n~SEQ(X,1,2) y\n", other="x '\n")
    assert [one.partition(": ")[0] for one in found] == ["k.conf:1", "k.conf:2", "other.conf:1", "k.conf:4"]


def test_a_file_is_utf_8_and_not_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    source = module.Source("k.conf", "/", b"a\nb \xff\n")
    with pytest.raises(module.Unreadable, match=r"k\.conf:2: is not UTF-8"):
        module.read(source, lambda *_: [], "a", "a")
    monkeypatch.setattr(module, "SIZE_LIMIT", 5)
    with pytest.raises(module.Unreadable, match="larger than 5 bytes"):
        module.read(source, lambda *_: [], "a", "a")


def test_lines_are_limited_however_they_come_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LINES", 1000)
    doubled = "".join(f"$A{number}= \\\n $A{number + 1} \\\n $A{number + 1}\n" for number in range(14))
    [told] = mistakes(f"{doubled}$A14= \\\n" + "x \\\n" * 20 + "x\n$A0\n")
    assert told.endswith("is line 1001 with all definitions in place; this is no keepalived.conf")

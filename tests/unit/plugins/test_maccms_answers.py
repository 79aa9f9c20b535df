"""What collection APIs answer, read without a site: encodings, shapes, episodes, configurations."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest

from plugins.search.maccms_plugin.answers import NotAList, plain, read_answer
from plugins.search.maccms_plugin.episodes import episodes, play_lists
from plugins.search.maccms_plugin.sites import Site, read_sites
from plugins.shared.readable_text import decoded
from tests.unit.plugins.maccms_site import MacCMS, vod


@pytest.mark.parametrize("codec", ["gbk", "gb2312"])
def test_an_xml_in_gbk_is_read_by_its_declaration(codec: str) -> None:
    text = MacCMS([]).xml([vod(1)], 1, 1, 1, True).replace("utf-8", codec)
    [video] = read_answer(text.encode("gbk"), "text/xml").videos
    assert (video.fields["vod_name"], video.fields["vod_director"]) == ("斗罗大陆1", "沈乐平")


def test_a_wrong_or_missing_encoding_is_seen_through() -> None:
    text = MacCMS([]).json([vod(1)], 1, 1, 1, True)
    for body, kind in (
        (text.encode("gbk"), "text/html"),
        (text.encode("gbk"), "text/html; charset=utf-8"),
        (text.encode("gbk"), "application/json; charset=GB2312"),
        (text.encode("utf-8-sig"), "text/html; charset=utf-8"),
        (text.encode("utf-16"), ""),
    ):
        assert read_answer(body, kind).videos[0].fields["vod_name"] == "斗罗大陆1"
    assert decoded(b"\xff\xff\xff", "text/html; charset=x-unknown")


WARNING = "<br />\n<b>Warning</b>:  Undefined array key {main} in <b>/www/api.php</b> on line <b>3</b><br />\n{x: 1}\n"


def test_warnings_around_an_answer_are_passed_over() -> None:
    for text in (MacCMS([]).json([vod(1)], 1, 3, 50, True), MacCMS([]).xml([vod(1)], 1, 3, 50, True)):
        page = read_answer(f"{WARNING}{text}\n<!-- 0.03 s -->".encode())
        assert ([one.id for one in page.videos], page.count) == (["1"], 3)


@pytest.mark.parametrize(
    "listed",
    [
        {"0": vod(1), "2": vod(2)},
        [
            {**vod(1), "vod_id": "1"},
            {**vod(2), "vod_id": "2"},
            None,
            "x",
            {"vod_id": 3},
            {"vod_name": "no id"},
        ],
    ],
)
def test_lists_of_odd_shapes(listed: Any) -> None:
    for answer in (
        {"code": "1", "msg": "", "pagecount": "4", "list": listed},
        {"code": 200, "data": {"list": listed, "pagecount": 4}},
        {"list": listed, "pagecount": 4.0},
    ):
        page = read_answer(json.dumps(answer).encode())
        assert ([one.id for one in page.videos], page.count) == (["1", "2"], 4)


def test_one_entry_instead_of_a_list_and_an_empty_list() -> None:
    assert len(read_answer(json.dumps({"code": 1, "list": vod(5)}).encode()).videos) == 1
    for empty in ([], {}, None, "", False):
        assert read_answer(json.dumps({"code": 1, "msg": "数据列表", "list": empty}).encode()).videos == []
    assert read_answer(b'<rss><list page="1" pagecount="0"></list></rss>').videos == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"code":0,"msg":"暂不支持搜索"}', "暂不支持搜索"),
        ('{"code":-1,"msg":"<b>denied</b>"}', "denied"),
        ('{"a":' * 100_000, "answered"),
        ("<rss><list><video>", "broken"),
        ("<rss><channel/></rss>", "no list"),
        (
            '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><rss>&x;</rss>',
            "refused",
        ),
    ],
)
def test_what_is_no_list_says_what_it_is(body: str, says: str) -> None:
    with pytest.raises(NotAList, match=says):
        read_answer(body.encode())


def test_an_xml_with_html_entities_loose_ampersands_and_control_characters() -> None:
    text = """<rss><list pagecount="x"><video><id>1</id><name><![CDATA[A&B &nbsp; C]]></name>
    <type>动作 & 冒险&nbsp;</type>
    <pic>http://p.example/a.jpg?x=1&y=2</pic><des>\x0b&lt;p&gt;简介&middot;&lt;/p&gt;</des>
    <dl><dd flag="a"><![CDATA[1$https://v.example/1?a=1&b=2]]></dd></dl></video></list></rss>"""
    page = read_answer(text.encode())
    [video] = page.videos
    assert page.count is None
    assert video.plays == [("a", "1$https://v.example/1?a=1&b=2")]
    assert {video.fields[key] for key in ("vod_name", "type_name", "vod_pic", "vod_content")} == {
        "A&B C",
        "动作 & 冒险",
        "http://p.example/a.jpg?x=1&y=2",
        "简介·",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("第1集$http://a/1.m3u8#第2集$http://a/2.m3u8#", [("第1集", "http://a/1.m3u8"), ("第2集", "http://a/2.m3u8")]),
        ("$http://a/1##http://a/2#", [("第01集", "http://a/1"), ("第02集", "http://a/2")]),
        ("HD$http://a/b?k=$1&t=$abc", [("HD", "http://a/b?k=$1&t=$abc")]),
        ("HD$http://a/$x/1.m3u8", [("HD", "http://a/$x/1.m3u8")]),
        ("第1集$http://a/1.m3u8$hhm3u8#第2集$http://a/2$src", [("第1集", "http://a/1.m3u8"), ("第2集", "http://a/2")]),
        ("第1集$http://a/1.m3u8$", [("第1集", "http://a/1.m3u8")]),
        ("A$B$http://a/1", [("A$B", "http://a/1")]),
        ("http://a/1.m3u8$第1集", [("第1集", "http://a/1.m3u8")]),
        ("1$http://a/1?x=1&amp;copy=2", [("1", "http://a/1?x=1&copy=2")]),
        ("1$https%3A%2F%2Fa%2F1.m3u8", [("1", "https://a/1.m3u8")]),
        ("1$//a/1.m3u8#2$/play/2.html", [("1", "https://a/1.m3u8"), ("2", "https://site.example/play/2.html")]),
        ("1$magnet:?xt=urn:btih:abc&dn=x", [("1", "magnet:?xt=urn:btih:abc&dn=x")]),
        ("第1集$XMTQ4$src", [("第1集", "XMTQ4")]),
        ("第1集$http://a/1\r\n第2集$http://a/2", [("第1集", "http://a/1"), ("第2集", "http://a/2")]),
        ("第1集#第2集$http://a/2#第3集$", [("第2集", "http://a/2")]),
        ("x$javascript:alert(1)#y$data:text/html,x#z$file:///etc/passwd", []),
        ("", []),
        ("$$", []),
    ],
)  # fmt: skip
def test_episodes(text: str, expected: list[tuple[str, str]]) -> None:
    made = episodes([("src", text)], "https://site.example/api.php")
    assert [(one["title"], one["play_url"]) for one in made] == expected
    assert {one["source"] for one in made} <= {"src"}


def test_play_lists_and_their_sources() -> None:
    assert play_lists("a$$$b", "1$http://x/1$$$2$http://x/2") == [
        ("a", "1$http://x/1"),
        ("b", "2$http://x/2"),
    ]
    assert play_lists("a,b", "1$$$2") == [("a", "1"), ("b", "2")]
    assert play_lists("a", "1$$$2$$$") == [("a", "1"), ("", "2")]
    assert play_lists("a$$$b", "$$$2") == [("b", "2")]
    assert play_lists("", "") == []
    assert episodes([("", "1$http://x/1"), ("", "1$http://x/2")], "http://x/")[1]["source"] == "线路2"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"sites": [{"name": "a", "url": "https://a.example"}]},
         [Site("a", "https://a.example/api.php/provide/vod/")]),
        ({"sites": [{"api_url": "a.example/zyapi.php", "format": "XML"}]},
         [Site("a.example", "http://a.example/zyapi.php", "xml")]),
        ({"sites": "a|http://a.example/x\nhttp://b.example/api.php"},
         [Site("a", "http://a.example/x"), Site("b.example", "http://b.example/api.php/provide/vod/")]),
        ({"sites": '[{"name":"a","url":"http://a.example/x"}]'}, [Site("a", "http://a.example/x")]),
        ({"sites": {"a": "http://a.example/x"}}, [Site("a", "http://a.example/x")]),
        ({"sites": [{"url": "http://a.example/x", "enabled": "false"}, {"url": ""}, {}]}, []),
        ({"sites": ["http://a.example/x", "http://a.example/x"], "timeout": ""}, [Site("a.example", "http://a.example/x")]),
        ({"base_url": "http://a.example/x"}, [Site("a.example", "http://a.example/x")]),
        ({"sites": None}, []),
    ],
)  # fmt: skip
def test_configurations(config: dict[str, Any], expected: list[Site]) -> None:
    assert read_sites(config) == expected


def test_an_address_of_another_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="neither an http nor an https"):
        read_sites({"sites": [{"url": "file:///etc/passwd"}]})


def test_text_is_plain() -> None:
    assert plain(html.escape("<p>a &amp; b</p>")) == "a & b"
    assert plain("1 < 2 <br>3<script>x()</script>") == "1 < 2 3"
    assert plain(None) == plain(True) == plain({}) == ""
    assert plain(["a", "", 1]) == "a,1"

"""Hostile files that hold one document, made in code, by the kind of fault."""

import io
import struct
import zipfile
import zlib

from domain_embed_tests.corpus.readers.files import docx, pdf

MEGABYTE = 1 << 20
DEEP = 60_000


def markdown() -> dict[str, bytes]:
    """Front matter and text."""

    def front(yaml: str) -> str:
        return f"---\n{yaml}\n---\nThe text.\n"

    levels = "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9))
    texts = {
        "brackets": front("[" * DEEP),
        "braces": front("{" * DEEP),
        "dashes": front("- " * DEEP),
        "questions": front("? " * DEEP),
        "indents": front("\n".join(" " * n + "a:" for n in range(900))),
        "billion-laughs": front("a: &a [x,x,x,x,x,x,x,x,x]\n" + levels),
        "alias-of-itself": front("a: &a [*a, *a, *a]"),
        "alias-of-long-text": front("a: &a " + "x" * 100_000 + "\nb: [" + "*a," * 10_000 + "]"),
        "merge-bomb": front("a: &a {k: 1}\nb: &b {<<: [" + "*a," * 9000 + "]}\nc: {<<: [" + "*b," * 9000 + "]}"),
        "merge-of-itself": front("a: &a {<<: *a}"),
        "deep-by-aliases": front(
            "a0: &a0 x\n" + "".join(f"a{n}: &a{n} {'[' * 90}*a{n - 1}{']' * 90}\n" for n in range(1, 500))
        ),
        "sexagesimal-int": front("a: 1" + ":59" * 100_000),
        "sexagesimal-float": front("a: 1" + ":59" * 100_000 + ".5"),
        "many-digits": front("a: " + "9" * 100_000),
        "hex-digits": front("a: 0x" + "f" * 100_000),
        "no-int": front("a: !!int x"),
        "empty-int": front("a: !!int ''"),
        "no-bool": front("a: !!bool x"),
        "no-timestamp": front("a: !!timestamp x"),
        "python-object": front("a: !!python/object/apply:os.system ['true']"),
        "no-date": front("a: 2024-02-30"),
        "no-time": front("a: 2024-02-28 99:99:99"),
        "binary": front("a: !!binary zzz"),
        "bytes": front("a: !!binary aGVsbG8="),
        "set": front("a: !!set {x, y}"),
        "pairs": front("a: !!pairs [x: 1, x: 2]"),
        "infinity": front("a: .inf"),
        "nan": front("a: .nan"),
        "list-as-title": front("title: [a]"),
        "number-as-title": front("title: 1e400"),
        "huge-title": front("title: " + "word " * 100_000),
        "list-as-key": front("? [1, 2]\n: a"),
        "two-documents": front("a: 1\n...\nb: 2"),
        "quoted-key": front("'a\"b': 1"),
        "tab": front("a:\n\t- b"),
        "nul-escape": front('a: "\\0"'),
        "surrogate-escape": front('a: "\\ud800"'),
        "many-keys": front("\n".join(f"k{n}: {n}" for n in range(30_000))),
        "huge-front-matter": front("a: " + "x" * (2 * MEGABYTE)),
        "rules-and-blanks": "---\n" + "-" * 100_000 + " " * 100_000 + "x",
        "heading-of-blanks": "# a" + " " * MEGABYTE + "b",
        "headings-of-blanks": ("# " + " " * 5000 + "x\n") * 200,
        "heading-of-marks": "# " + "# " * (MEGABYTE // 2) + "x",
        "huge-heading": "# " + "word " * 200_000 + "\ntext",
        "underline": "Title\n" + "=" * 200_000 + " " * 200_000 + "x",
        "dashes-and-blanks": "\x0b" * 100_000 + "x\n---\n",
        "fences": "`" * MEGABYTE + "\n" + "~" * MEGABYTE,
        "many-fences": "```\n" * 100_000,
        "many-headings": "# a\n" * 100_000,
        "nul": "a\x00b",
        "only-nul": "\x00" * 1000,
        "escapes": "\x1b]0;title\x07\x1b[2J text",
        "no-line-end": "x" * MEGABYTE,
        "carriage-returns": "\r" * MEGABYTE + "x",
        "separators": "\u2028\u2029\x85" * 100_000 + "x",
    }
    raw = {
        "not-utf8": b"caf\xe9",
        "utf16": "é".encode("utf-16"),
        "surrogates": b"\xed\xa0\x80",
        "overlong": b"\xc0\xaf text",
        "nothing": b"",
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 100,
    }
    return {f"md-{name}.md": text.encode() for name, text in texts.items()} | {
        f"{suffix}-{name}.{suffix}": content for suffix in ("md", "txt") for name, content in raw.items()
    }


def html() -> dict[str, bytes]:
    """Pages."""
    texts = {
        "deep-div": "<div>" * DEEP + "x",
        "deep-list": "<ul><li>" * 20_000 + "x",
        "deep-table": "<table><tr><td>" * 5000 + "x",
        "deep-quote": "<blockquote>" * 3000 + "x",
        "deep-bold": "<b>" * DEEP + "x",
        "unclosed": "<p" * DEEP,
        "unclosed-comment": "<!--" * DEEP,
        "unclosed-declaration": "<![CDATA[" * 20_000,
        "unclosed-instruction": "<?" * DEEP,
        "unclosed-script": "<script>" * DEEP,
        "unclosed-attribute": '<a href="' * DEEP,
        "open-tags": "<" * DEEP,
        "close-tags": "</p>" * DEEP,
        "pre-of-blanks": "<pre>a" + " " * MEGABYTE + "b</pre>",
        "pre-of-lines": "<pre>a" + "\n" * MEGABYTE + "b</pre>",
        "pre-of-short-blanks": "<pre>" + ("a" + " " * 99) * 10_000 + "</pre>",
        "blanks": "<p>a" + " " * MEGABYTE + "b",
        "tabs": "<p>a" + "\t" * MEGABYTE + "b",
        "wide-spaces": "<p>a" + "\u3000" * 300_000 + "b",
        "escaped-blanks": "<p>a" + "&#32;" * 20_000 + "b",
        "entities": "&" * 100_000,
        "numbers": "&#99999999999;" * 10_000,
        "surrogates": "<p>&#xd800;&#xdfff; x",
        "nul": "<p>a\x00b&#0;c",
        "many-attributes": "<p " + " ".join(f"a{n}=1" for n in range(50_000)) + ">x",
        "huge-attribute": '<p title="' + "x" * (4 * MEGABYTE) + '">x',
        "many-links": "<a>¶</a>" * 20_000 + "x",
        "many-images": "<img alt=x>" * 20_000,
        "data-image": '<img src="data:image/png;base64,' + "A" * MEGABYTE + '" alt="x">',
        "colspan": "<table><tr><td colspan=99999999>x</td></tr></table>",
        "list-start": "<ol start=999999999999999999999><li>x</ol>",
        "list-start-text": "<ol start=x><li>x</ol>",
        "heading-number": "<h1>a</h1><h7>b</h7><h99999>c</h99999>",
        "headings-of-blanks": "<h1>" + " " * 100_000 + "x</h1>",
        "titles": "<title>" * 10_000 + "x",
        "only-furniture": "<nav>x</nav><script>y</script>",
        "charset-none": '<meta charset=""><p>x',
        "charset-codec": '<meta charset="zip"><p>x',
        "charset-undefined": '<meta charset="undefined"><p>x',
        "charset-idna": '<meta charset="idna"><p>x',
        "xml-entities": '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><r>&b;</r>',
        "external-entity": '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><r>&a;</r>',
    }
    raw = {"not-utf8": b"<p>caf\xe9", "bom": b"\xff\xfe<p>x", "nothing": b"", "huge": b"x" * (33 * MEGABYTE)}
    return {f"html-{name}.html": text.encode() for name, text in texts.items()} | {
        f"html-{name}.html": content for name, content in raw.items()
    }


def _pdf(objects: list[bytes], root: int = 1) -> bytes:
    """A PDF of the objects, numbered from 1."""
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer <</Size %d /Root %d 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, root, len(out))
    return bytes(out) + b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table) + end


def _stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<</Length %d %s>>\nstream\n%s\nendstream" % (len(content), entries, content)


CATALOG = b"<</Type /Catalog /Pages 2 0 R>>"
PAGE = b"<</Type /Page /Parent 2 0 R /Contents 4 0 R /MediaBox [0 0 9 9] /Resources <</Font <</F 5 0 R>>>>>>"
FONT = b"<</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>"
WIDE = b"/Filter /FlateDecode /DecodeParms <</Predictor 12 /Columns 999999999>>"
TEXT = b"BT /F 9 Tf (text) Tj ET "


def _one_page(contents: bytes, pages: bytes = b"<</Type /Pages /Kids [3 0 R] /Count 1>>", page: bytes = PAGE) -> bytes:
    return _pdf([CATALOG, pages, page, contents, FONT])


def pdfs() -> dict[str, bytes]:
    """PDFs that say impossible things, and valid ones that were damaged."""
    valid = pdf([["Handbook", "Welcome."], ["Leave"]], title="Handbook", outline={"Handbook": 0, "Leave": 1})
    bomb = zlib.compress(TEXT * (4 * MEGABYTE), 9)
    made = {
        "one-page-a-million-times": _one_page(
            _stream(TEXT * 50), b"<</Type /Pages /Kids [" + b"3 0 R " * MEGABYTE + b"] /Count %d>>" % MEGABYTE
        ),
        "one-page-9000-times": _one_page(
            _stream(TEXT * 50), b"<</Type /Pages /Kids [" + b"3 0 R " * 9000 + b"] /Count 9000>>"
        ),
        "one-page-claimed-a-billion-times": _one_page(
            _stream(TEXT), b"<</Type /Pages /Kids [3 0 R] /Count 999999999>>"
        ),
        "pages-within-themselves": _one_page(_stream(TEXT), b"<</Type /Pages /Kids [2 0 R 2 0 R 3 0 R] /Count 3>>"),
        "tree-of-pages": _pdf(
            [CATALOG, *(b"<</Type /Pages /Kids [%s] /Count 9>>" % (b"%d 0 R " % n * 9) for n in range(3, 13)), PAGE]
        ),
        "deep-tree-of-pages": _pdf(
            [CATALOG, *(b"<</Type /Pages /Kids [%d 0 R] /Count 1>>" % n for n in range(3, 5000)), PAGE]
        ),
        "negative-count": _one_page(_stream(TEXT), b"<</Type /Pages /Kids [3 0 R] /Count -5>>"),
        "no-kids": _one_page(_stream(TEXT), b"<</Type /Pages /Count 1>>"),
        "kids-are-numbers": _one_page(_stream(TEXT), b"<</Type /Pages /Kids [1 2 3] /Count 3>>"),
        "bomb": _one_page(_stream(bomb, b"/Filter /FlateDecode")),
        "bomb-of-bombs": _one_page(_stream(zlib.compress(bomb), b"/Filter [/FlateDecode /FlateDecode]")),
        "many-filters": _one_page(_stream(b"x", b"/Filter [" + b"/ASCIIHexDecode " * 50_000 + b"]")),
        "unknown-filter": _one_page(_stream(b"x", b"/Filter /Crypt2")),
        "predictor": _one_page(_stream(zlib.compress(b"x" * 999), WIDE)),
        "lzw": _one_page(_stream(b"\x80\x0b\x60\x50\x22\x0c\x0c\x85\x01" * 9999, b"/Filter /LZWDecode")),
        "run-lengths": _one_page(_stream(b"\x81A" * 200_000, b"/Filter /RunLengthDecode")),
        "wrong-length": _one_page(b"<</Length 99999999>>\nstream\nx\nendstream"),
        "negative-length": _one_page(b"<</Length -1>>\nstream\nx\nendstream"),
        "length-of-itself": _one_page(b"<</Length 4 0 R>>\nstream\nx\nendstream"),
        "endless-array": _one_page(_stream(b"[" * 100_000)),
        "endless-dictionary": _one_page(_stream(b"<<" * 50_000)),
        "endless-string": _one_page(_stream(b"(" * 200_000)),
        "many-operators": _one_page(_stream(b"q " * 200_000)),
        "many-texts": _one_page(_stream(TEXT * 20_000)),
        "huge-numbers": _one_page(_stream(b"BT /F 1e999 Tf " + b"9" * 5000 + b" 0 Td (x) Tj ET")),
        "no-font": _one_page(_stream(b"BT /G 9 Tf (x) Tj ET")),
        "form-within-itself": _pdf([
            CATALOG, b"<</Type /Pages /Kids [3 0 R] /Count 1>>",
            b"<</Type /Page /Parent 2 0 R /Contents 4 0 R /Resources <</XObject <</X 5 0 R>>>>>>", _stream(b"/X Do"),
            _stream(b"/X Do", b"/Type /XObject /Subtype /Form /Resources <</XObject <</X 5 0 R>>>>"),
        ]),
        "outline-in-a-circle": _pdf([
            b"<</Type /Catalog /Pages 2 0 R /Outlines 5 0 R>>", b"<</Type /Pages /Kids [3 0 R] /Count 1>>",
            b"<</Type /Page /Parent 2 0 R /Contents 4 0 R>>", _stream(TEXT), b"<</First 6 0 R /Last 6 0 R>>",
            b"<</Title (a) /Parent 5 0 R /Next 6 0 R /First 6 0 R /Dest [3 0 R /Fit]>>",
        ]),
        "parent-of-itself": _one_page(_stream(TEXT), page=b"<</Type /Page /Parent 3 0 R /Contents 4 0 R>>"),
        "root-is-a-number": _pdf([b"5"]),
        "root-is-missing": _pdf([CATALOG], root=9),
        "reference-to-itself": _pdf([b"1 0 R"]),
        "previous-table-is-this-one": valid.replace(b"/Size", b"/Prev 9 /Size"),
        "header-only": b"%PDF-1.7\n",
        "deep-object": _pdf([CATALOG, b"[" * DEEP]),
        "encrypted": pdf([["Secret"]], password="secret"),
        "empty": b"",
        "text": b"this is no PDF",
    }  # fmt: skip
    cuts = {f"cut-at-{share}-percent": valid[: len(valid) * share // 100] for share in range(5, 100, 10)}
    flips = {
        f"every-{step}th-byte-wrong": bytes(b ^ 0x20 if n % step == 0 else b for n, b in enumerate(valid))
        for step in (7, 31, 97, 251)
    }
    return {f"pdf-{name}.pdf": content for name, content in (made | cuts | flips).items()}


DOCUMENT = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def _docx(body: str, *, part: str = "word/document.xml", prolog: str = "", rels: str = "") -> bytes:
    """A DOCX whose document is the part of that name."""
    types = "http://schemas.openxmlformats.org/package/2006/content-types"
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{types}"><Override PartName="/{part}" ContentType="{DOCUMENT}"/></Types>',
        )
        parts.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{relations}"><Relationship Id="r" Type="{OFFICE}/officeDocument" Target="{part}"/>'
            "</Relationships>",
        )
        if rels:
            parts.writestr(f"{part.rpartition('/')[0]}/_rels/{part.rpartition('/')[2]}.rels",
                           f'<Relationships xmlns="{relations}">{rels}</Relationships>')  # fmt: skip
        parts.writestr(part, f"{prolog}<w:document {WORD}><w:body>{body}</w:body></w:document>")
    return out.getvalue()


def _zip(**parts: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name.replace("__", "/"), content)
    return out.getvalue()


def _paragraphs(count: int, text: str = "x") -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" * count


def docxs() -> dict[str, bytes]:
    """DOCX files: archives, their parts and their XML."""
    valid = docx([("Title", "Handbook"), ("Normal", "Welcome."), ("Heading 1", "Leave")])
    bomb = _paragraphs(MEGABYTE // 2, " " * 100)
    entities = '<!DOCTYPE d [<!ENTITY a "' + "a" * 100 + '">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
    ) + "]>"  # fmt: skip
    made = {
        "bomb": _docx(bomb),
        "bomb-under-another-name": _docx(bomb, part="word/document.bin"),
        "bomb-as-a-picture": _docx(bomb, part="word/media/image1.png"),
        "bomb-without-suffix": _docx(bomb, part="document"),
        "under-another-name": _docx(_paragraphs(2), part="word/text.bin"),
        "entity-bomb": _docx("<w:p><w:r><w:t>&j;</w:t></w:r></w:p>", prolog=entities),
        "external-entity": _docx(
            "<w:p><w:r><w:t>&a;</w:t></w:r></w:p>", prolog='<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        ),
        "parameter-entity": _docx(_paragraphs(1), prolog='<!DOCTYPE d SYSTEM "file:///etc/passwd">'),
        "deep-tables": _docx("<w:tbl><w:tr><w:tc>" * 5000 + "</w:tc></w:tr></w:tbl>" * 5000),
        "deep-runs": _docx("<w:p>" + "<w:smartTag>" * 20_000 + "</w:smartTag>" * 20_000 + "</w:p>"),
        "unclosed": _docx("<w:p>" * 100_000),
        "many-paragraphs": _docx(_paragraphs(20_000)),
        "many-cells": _docx("<w:tbl><w:tr>" + "<w:tc><w:p/></w:tc>" * 20_000 + "</w:tr></w:tbl>"),
        "span-of-a-billion": _docx(
            '<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="999999999"/></w:tcPr><w:p/></w:tc></w:tr></w:tbl>'
        ),
        "span-of-words": _docx('<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="x"/></w:tcPr></w:tc></w:tr></w:tbl>'),
        "linked-picture": _docx(
            '<w:p><w:r><w:drawing><a:blip xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
            f'xmlns:r="{OFFICE}" r:link="r1"/></w:drawing></w:r></w:p>' + _paragraphs(1),
            rels=f'<Relationship Id="r1" Type="{OFFICE}/image" Target="/etc/passwd" TargetMode="External"/>',
        ),
        "blanks": _docx(_paragraphs(1, "a" + " " * MEGABYTE + "b")),
        "no-xml": _zip(word__document=b"x"),
        "no-zip": b"PK\x03\x04 nothing",
        "legacy-doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5000),
        "empty": b"",
        "empty-zip": _zip(),
        "path-out-of-the-archive": _zip(**{"..__..__etc__x": b"x", "[Content_Types].xml": b"<Types/>"}),
        "target-out-of-the-archive": _docx(_paragraphs(1), part="../../etc/passwd"),
        "many-parts": _zip(**{f"p{n}": b"" for n in range(20_000)}),
        "size-lies": valid.replace(struct.pack("<I", len(_part(valid))), struct.pack("<I", 7)),
        "utf16-without-mark": _zip(**{"[Content_Types].xml": "<Types/>".encode("utf-16-be")}),
        "control-characters": _docx(_paragraphs(1, "\x01")),
        "numbered-deep": _docx(
            '<w:p><w:pPr><w:numPr><w:ilvl w:val="999999"/><w:numId w:val="1"/></w:numPr></w:pPr></w:p>' + _paragraphs(1)
        ),
    }
    cuts = {f"cut-at-{share}-percent": valid[: len(valid) * share // 100] for share in range(10, 100, 20)}
    flips = {
        f"every-{step}th-byte-wrong": bytes(b ^ 0x20 if n % step == 0 else b for n, b in enumerate(valid))
        for step in (97, 997, 4999)
    }
    return {f"docx-{name}.docx": content for name, content in (made | cuts | flips).items()}


def _part(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        return parts.read("word/document.xml")


WHOLE_FILES = markdown() | html() | pdfs() | docxs()

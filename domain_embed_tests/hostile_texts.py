"""Texts that would do something where they are shown, if they were not taken for texts."""

IN_PAGES = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '" onmouseover="alert(1)', "' autofocus onfocus='x",
    "</title><script>x</script>", "</style><script>x</script>", "]]><script>x</script>", "<!-- ",
    "--><script>x</script>", "{{ 7 * 7 }}", "{% for x in y %}", "](javascript:alert(1))",
    "<a href='javascript:alert(1)'>x</a>", "a | b | c",
    "<svg onload=alert(1)>", "&lt;script&gt;", "a\x00b<script>x</script>", "\u202e<script>", "`code`", "```\nout",
]  # fmt: skip

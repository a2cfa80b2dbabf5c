//! Cases that must fail: a test that cannot is no test. Each with a part of what is said about it.

/// Name, file, complaint.
pub(crate) const CASES: [(&str, &str, &str); 22] = [
    (
        "a finding that nobody expects",
        "## a\n```yaml\nforge: v2\nname: n\ntarget: local\n```\n",
        "not expected: error[unknown-version]",
    ),
    (
        "an expectation that nothing meets",
        "## a\n```yaml\nforge: v1\n       ^^ error[unknown-version] no\nname: n\ntarget: local\n```\n",
        "file:4: not found",
    ),
    (
        "a caret too few",
        "## a\n```yaml\nforge: v2\n       ^ error[unknown-version] no version\nname: n\ntarget: local\n```\n",
        "file:4: not found",
    ),
    (
        "a caret too far",
        "## a\n```yaml\nforge: v2\n        ^^ error[unknown-version] no version\nname: n\ntarget: local\n```\n",
        "file:3: not expected",
    ),
    (
        "another line",
        "## a\n```yaml\nforge: v2\nname: n\n       ^^ error[unknown-version] no version\ntarget: local\n```\n",
        "file:5: not found",
    ),
    (
        "another id",
        "## a\n```yaml\nforge: v2\n       ^^ error[unknown-key] no version\nname: n\ntarget: local\n```\n",
        "not found",
    ),
    (
        "another severity",
        "## a\n```yaml\nforge: v2\n       ^^ warning[unknown-version] no version\nname: n\ntarget: local\n```\n",
        "not found",
    ),
    (
        "another summary",
        "## a\n```yaml\nforge: v2\n       ^^ error[unknown-version] a version\nname: n\ntarget: local\n```\n",
        "not found",
    ),
    (
        "another help",
        "## a\n```yaml\nforge: v2\n       ^^ error[unknown-version] no version\n       = help: Write v3\nname: n\ntarget: local\n```\n",
        "not found",
    ),
    (
        "one finding expected twice",
        "## a\n```yaml\nforge: v2\n       ^^ error[unknown-version] no version\n       ^^ error[unknown-version] no version\nname: n\ntarget: local\n```\n",
        "file:5: not found",
    ),
    (
        "a finding without a place given one",
        "## a\n```yaml var x=1\nforge: v1\n^ error[unknown-variable] x\nname: n\ntarget: local\n```\n",
        "file:4: not found",
    ),
    (
        "a label that is not there",
        "## a\n```yaml\nforge: v1\n       ^^ - here\nname: n\ntarget: local\n```\n",
        "file:4: not found",
    ),
    (
        "another plan",
        "## a\n```yaml\nforge: v1\nname: n\ntarget: local\n```\n```text plan\nx.y local.bucket {}\n```\n",
        "comes to something else",
    ),
    (
        "a plan where there are errors",
        "## a\n```yaml\nforge: v2\n       ^^ error[unknown-version] no version\nname: n\ntarget: local\n```\n```text plan\n```\n",
        "comes to something else",
    ),
    ("no blueprint", "## a\ntext\n", "has 0 blueprints"),
    ("no cases", "# a\ntext\n", "no cases"),
    ("an unknown fence", "## a\n```yml\nforge: v1\n```\n", "no fence is known"),
    ("an unknown word after the fence", "## a\n```yaml targt=aws\nforge: v1\n```\n", "no fence is known"),
    ("a fence that nothing closes", "## a\n```yaml\nforge: v1\n", "nothing closes"),
    ("a fence before the first case", "# a\n```yaml\nforge: v1\n```\n", "before the first case"),
    (
        "an expectation that is none",
        "## a\n```yaml\nforge: v1\n       ^^ eror[unknown-version] x\n```\n",
        "not understood",
    ),
    ("two cases of one name", "## a\n```yaml\n```\n## a\n```yaml\n```\n", "a second case"),
];

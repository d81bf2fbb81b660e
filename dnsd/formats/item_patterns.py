"""The patterns of plain YAML items. Imported when the first is read: to compile them takes 30 ms of a start.

The groups of a match: indentation; name, without or with quotes; text before the content; content; text after it;
comment; more text; id; times of creation and of modification; end.
"""

from __future__ import annotations

import re

# No part matches in two ways, and matches are possessive: the time is that of reading the item once.
ODD = "\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff"  # not allowed, or a break of lines
WORD = r"\w./+=@%;()$*!<>~^'-"
BARE = rf"(?![nN](?:ull|ULL))[\w./](?:[{WORD}]++|:(?=[\w.:])|[ ]++(?=[{WORD}]))*+"
SCALAR = rf"""(?:{BARE}|"(?:[^"\\{ODD}]++|\\["\\])*+"|'(?:[^'{ODD}]++|'')*+')"""
OWN = "id|content|comment|created_on|modified_on"  # keys of parts with code of their own
LIST = rf"\[(?:{SCALAR}(?:, {SCALAR})*+)?+\]"
MAPPING = rf"\{{(?:\w++: {SCALAR}(?:, \w++: {SCALAR})*+)?+\}}"
PAIR = rf"(?!(?:{OWN}):)\w++: (?:{SCALAR}|{LIST}|{MAPPING})"
ID = r"[0-9a-f]{32}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?+(?:Z|[+-]\d\d:\d\d)"
ID_OR_QUOTED, TIME_OR_QUOTED = (rf'({part}|"{part}")' for part in (ID, TIME))
LABEL = r"(?![nN](?:ull|ULL))(\w[-\w]{0,62}+)(?=[,\r\n])"  # the most common name
END = r"[ ]*+(?:(?<= )#[^\n]*+)?+\r?+\n"  # of a line
PAIRS, LINES = rf"(?:, {PAIR})*+", rf"(?:\1  {PAIR}{END})*+"
FLOW = re.compile(
    rf"([ ]*+)- \{{name: (?:{LABEL}|({SCALAR}))(, type: \w++{PAIRS}, )content: ({SCALAR})({PAIRS})"
    rf"(?:, comment: ({SCALAR}))?+({PAIRS})(?:, id: {ID_OR_QUOTED})?+(?:, created_on: {TIME_OR_QUOTED})?+"
    rf"(?:, modified_on: {TIME_OR_QUOTED})?+(\}}{END})"
    r"|",  # any other item: an empty match, so that the search does not skip it
    re.ASCII,
)
BLOCK = re.compile(
    rf"([ ]*+)- name: (?:{LABEL}|({SCALAR}))({END}\1  type: \w++{END}{LINES}\1  )content: ({SCALAR})({END}{LINES})"
    rf"(?:\1  comment: ({SCALAR})\r?+\n)?+({LINES})(?:\1  id: {ID_OR_QUOTED}\r?+\n)?+"
    rf"(?:\1  created_on: {TIME_OR_QUOTED}\r?+\n)?+(?:\1  modified_on: {TIME_OR_QUOTED}\r?+\n)?+()"
    r"|",
    re.ASCII,
)

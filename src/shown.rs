//! Text of others, where people read it.

use std::borrow::Cow;

/// Text of others, such as the name of an election, an address, a reason or what a server said, as it may be shown on a
/// terminal or stand in a line of a log: what would begin a new line, steer the terminal, or turn or hide what stands
/// beside it, is written as Rust writes it in a literal. Programs that read it take the text as it is.
///
/// A backslash stays as it is, so that text which has been through this is not changed again.
///
/// ```
/// assert_eq!(pg_leader::shown("billing"), "billing");
/// assert_eq!(pg_leader::shown("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
/// ```
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(misleads) {
        return Cow::Borrowed(text);
    }
    let mut all = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if misleads(c) {
            all.extend(c.escape_default());
        } else {
            all.push(c);
        }
    }
    Cow::Owned(all)
}

/// All control characters, those of eight bits too, which some terminals obey; what ends a line or a paragraph; what
/// changes the direction of what follows; what is not seen. The joiners of scripts and emoji are not among them.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_would_mislead_is_told() {
        for (text, told) in [
            ("two\nlines\r", r"two\nlines\r"),
            ("a\tb\0\u{7f}", r"a\tb\u{0}\u{7f}"),
            ("\u{1b}]0;title\u{7}", r"\u{1b}]0;title\u{7}"),
            // As one character: CSI.
            ("\u{9b}2J\u{85}", r"\u{9b}2J\u{85}"),
            ("\u{202e}gnillib\u{2066}", r"\u{202e}gnillib\u{2066}"),
            ("a\u{2028}b\u{2029}c", r"a\u{2028}b\u{2029}c"),
            ("\u{feff}e\u{e0041}", r"\u{feff}e\u{e0041}"),
        ] {
            assert_eq!(shown(text), told);
        }
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in [
            "",
            "billing",
            "10.0.0.5:8080",
            r"C:\n\u{1b}",
            "Ελλάδα 日本 \u{1f469}\u{200d}\u{1f52c}",
            "می\u{200c}خواهم",
        ] {
            assert!(
                matches!(shown(text), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn it_is_one_line_and_the_same_when_shown_again(text: String) {
            let once = shown(&text).into_owned();
            prop_assert_eq!(once.lines().count().max(1), 1);
            prop_assert!(!once.contains(misleads));
            prop_assert_eq!(shown(&once), once.as_str());
        }
    }
}

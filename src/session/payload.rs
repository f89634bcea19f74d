//! The payload of a notification: an object of JSON, of which one member is read.
//!
//! Anybody may send one, and it decides no more than which election to look at. So what is no JSON may be read as if
//! it were; that it costs nothing but a look.

use std::iter::Peekable;
use std::str::Chars;

/// The text of the member `election`.
pub(super) fn election_in(payload: &str) -> Option<String> {
    let mut chars = payload.trim_start().chars().peekable();
    chars.next_if_eq(&'{')?;
    // How many objects and lists are open.
    let mut depth = 1_usize;
    while depth > 0 {
        match chars.next()? {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            '"' => {
                let text = text(&mut chars)?;
                skip_space(&mut chars);
                let is_name = chars.next_if_eq(&':').is_some();
                if depth == 1 && is_name && text == "election" {
                    skip_space(&mut chars);
                    chars.next_if_eq(&'"')?;
                    return self::text(&mut chars);
                }
            }
            _ => {}
        }
    }
    None
}

fn skip_space(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
}

/// To the quotation mark that ends it.
fn text(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut text = String::new();
    loop {
        text.push(match chars.next()? {
            '"' => return Some(text),
            '\\' => escaped(chars)?,
            c => c,
        });
    }
}

fn escaped(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    Some(match chars.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let first = unit(chars)?;
            // Beyond U+FFFF a character is a pair of units.
            let pair = if (0xd800..0xdc00).contains(&first) {
                chars.next_if_eq(&'\\')?;
                chars.next_if_eq(&'u')?;
                vec![first, unit(chars)?]
            } else {
                vec![first]
            };
            char::decode_utf16(pair).next()?.ok()?
        }
        c => c,
    })
}

fn unit(chars: &mut Peekable<Chars<'_>>) -> Option<u16> {
    let digits: String = chars.by_ref().take(4).collect();
    u16::from_str_radix(&digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn an_election_is_found_wherever_it_is() {
        for payload in [
            r#"{"election":"e"}"#,
            r#" {"term" : 7, "state" : null, "election" : "e"}"#,
            r#"{"of":{"election":"other"},"list":["election",":",{"a":"}"}],"election":"e"}"#,
            r#"{"address":"\"election\":\"other\"","election":"e"}"#,
            r#"{"election":"\u0065"}"#,
        ] {
            assert_eq!(election_in(payload).as_deref(), Some("e"), "{payload}");
        }
    }

    #[test]
    fn what_names_no_election_is_about_none() {
        for payload in [
            "",
            "e",
            "\"election\"",
            "[\"election\", \"e\"]",
            "{",
            "{\"election\"",
            "{\"election\":7}",
            "{\"election\":\"e",
            "{\"election\":\"\\ud800\"}",
            "{\"election\":\"\\u00",
            "{}{\"election\":\"e\"}",
            "{\"of\":{\"election\":\"e\"}}",
        ] {
            assert_eq!(election_in(payload), None, "{payload}");
        }
    }

    proptest! {
        #[test]
        fn it_reads_what_others_write(election: String, address: String, term: u64) {
            let payload = json!({"address": address, "term": term, "election": election});
            prop_assert_eq!(election_in(&payload.to_string()), Some(election.clone()));
            let pretty = serde_json::to_string_pretty(&payload).unwrap();
            prop_assert_eq!(election_in(&pretty), Some(election));
        }

        #[test]
        fn nothing_is_too_odd_to_be_read(payload: String, inner in r#"[{}\[\]":\\u0-9a-f ,]{0,40}"#) {
            let _ = election_in(&payload);
            let _ = election_in(&format!("{{{inner}"));
        }
    }
}

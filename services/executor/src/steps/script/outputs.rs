//! What a script writes for later steps: `name=value` lines, and values of several lines as
//! `name<<END`, lines, `END`.

use serde_json::Value;
use slipway_domain::{manifest::Script, order::Outputs};

/// How much a script may write.
const LIMIT: usize = 256 << 10;
/// How long a name may be.
const LONGEST_NAME: usize = 100;
/// Names that the step itself gives.
const OWN: [&str; 2] = ["exit_code", "container_id"];

/// The outputs in the file; a name that comes again has its last value. Errs with what is wrong with it, without
/// what is written there: that may be a part of a secret.
pub(super) fn read(bytes: &[u8]) -> Result<Outputs, String> {
    let file = format!("what it wrote to ${}", Script::OUTPUT);
    if bytes.len() > LIMIT {
        return Err(format!(
            "{file} has {} bytes, more than the {LIMIT} allowed; keep large values elsewhere",
            bytes.len()
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{file} is not UTF-8 text"))?;
    let mut lines = text.split_inclusive('\n').map(|line| line.trim_end_matches('\n').trim_end_matches('\r')).zip(1..);
    let mut outputs = Outputs::new();
    while let Some((line, number)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let at = format!("line {number} of {file}");
        let (name, value) = match (line.find('='), line.find("<<")) {
            (Some(equals), several) if several.is_none_or(|several| equals < several) => {
                (&line[..equals], line[equals + 1..].to_owned())
            }
            (_, Some(several)) => {
                let end = line[several + 2..].trim();
                let value = until(&mut lines, end).ok_or_else(|| format!("{at} begins a value that does not end"))?;
                (&line[..several], value)
            }
            (_, None) => return Err(format!("{at} is neither NAME=VALUE nor NAME<<END")),
        };
        let name = name.trim();
        if !is_name(name) {
            return Err(format!(
                "{at} has no good name before its value: use letters, digits, `_` and `-`, and begin with a letter or `_`"
            ));
        }
        if OWN.contains(&name) {
            return Err(format!("{at} gives `{name}`, which Slipway itself gives; choose another name"));
        }
        outputs.insert(name.to_owned(), Value::String(value));
    }
    Ok(outputs)
}

/// The lines before one that is `end`.
fn until<'a>(lines: &mut impl Iterator<Item = (&'a str, i32)>, end: &str) -> Option<String> {
    let mut value: Vec<&str> = Vec::new();
    if end.is_empty() {
        return None;
    }
    for (line, _) in lines {
        if line == end {
            return Some(value.join("\n"));
        }
        value.push(line);
    }
    None
}

fn is_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && name.len() <= LONGEST_NAME && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_line_and_of_several_are_read() {
        let text = "a=1\n\nb = x=y<<z\r\nlist<<END\none\n\n two\nEND\na=2\nempty=\nlast=no end of line";
        let outputs = read(text.as_bytes()).unwrap();
        let got: Vec<_> = outputs.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
        let expected =
            [("a", "2"), ("b", " x=y<<z"), ("empty", ""), ("last", "no end of line"), ("list", "one\n\n two")];
        assert_eq!(got, expected);
        assert!(read(b"").unwrap().is_empty());
    }

    #[test]
    fn what_can_not_be_read_is_told_by_its_line_and_not_shown() {
        for (text, why) in [
            ("a=1\nhunter2\n", "line 2 of what it wrote to $SLIPWAY_OUTPUT is neither NAME=VALUE nor NAME<<END"),
            ("a<<END\nhunter2\n", "line 1 of what it wrote to $SLIPWAY_OUTPUT begins a value that does not end"),
            ("a<<\nhunter2\n", "line 1 of what it wrote to $SLIPWAY_OUTPUT begins a value that does not end"),
            ("hunter2 is=1\n", "line 1 of what it wrote to $SLIPWAY_OUTPUT has no good name"),
            ("exit_code=0\n", "line 1 of what it wrote to $SLIPWAY_OUTPUT gives `exit_code`"),
        ] {
            let told = read(text.as_bytes()).unwrap_err();
            assert!(told.starts_with(why) && !told.contains("hunter2"), "{told}");
        }
        assert!(read(&[b'a', b'=', 0xff]).unwrap_err().contains("not UTF-8"));
        assert!(read(&vec![b'x'; LIMIT + 1]).unwrap_err().contains("has 262145 bytes, more than the 262144 allowed"));
    }
}

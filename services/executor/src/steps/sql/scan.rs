//! Refuses, before anything is applied, files that would leave the transaction which is theirs.
//!
//! Not a parser: it only finds the first words of each statement, past comments, quotes and bodies.

use super::source::Migration;
use crate::task::{Stop, failed};

/// Errs if the file contains a statement of transaction control, or one that can not run in a transaction.
pub fn check(file: &Migration) -> Result<(), Stop> {
    for statement in statements(&file.text) {
        let words: Vec<&str> = statement.words.iter().map(String::as_str).collect();
        let reason = match words.as_slice() {
            ["BEGIN" | "COMMIT" | "ROLLBACK" | "ABORT" | "END", ..] | ["START", "TRANSACTION", ..]
                if !is_savepoint(&words) =>
            {
                "each file is one transaction already; leave transaction control out"
            }
            ["PREPARE", "TRANSACTION", ..] => "each file is one transaction already; leave transaction control out",
            ["CREATE" | "DROP" | "REINDEX", rest @ ..] if rest.contains(&"CONCURRENTLY") => {
                "each file is one transaction, and this can not run in one; leave out CONCURRENTLY"
            }
            ["VACUUM", ..] | ["CREATE" | "DROP", "DATABASE" | "TABLESPACE", ..] | ["ALTER", "SYSTEM", ..] => {
                "each file is one transaction, and this can not run in one"
            }
            _ => continue,
        };
        let start = words.iter().take(3).copied().collect::<Vec<_>>().join(" ");
        return Err(failed(format!(
            "{}, line {}: `{start}`: {reason}. Nothing was applied",
            file.name, statement.line
        )));
    }
    Ok(())
}

/// `ROLLBACK TO name` stays within the transaction.
fn is_savepoint(words: &[&str]) -> bool {
    matches!(words, ["ROLLBACK", "TO", ..] | ["ROLLBACK", "WORK" | "TRANSACTION", "TO", ..])
}

/// Words of a statement that are enough to know what it does.
const WORDS: usize = 6;

#[derive(Default)]
struct Statement {
    line: usize,
    words: Vec<String>,
    /// How many `BEGIN` and `CASE` of a body are open.
    depth: usize,
}

impl Statement {
    fn word(&mut self, word: &str, line: usize) {
        let word = word.to_uppercase();
        if self.words.is_empty() {
            self.line = line;
        }
        if self.words.first().is_some_and(|first| first == "CREATE") {
            match word.as_str() {
                "BEGIN" => self.depth += 1,
                "CASE" if self.depth > 0 => self.depth += 1,
                "END" => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        if self.words.len() < WORDS {
            self.words.push(word);
        }
    }
}

fn statements(text: &str) -> Vec<Statement> {
    let mut done = Vec::new();
    let mut current = Statement::default();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = token(rest, first);
        let piece = &rest[..length];
        if first == ';' && current.depth == 0 {
            done.push(std::mem::take(&mut current));
        } else if is_word(first) {
            current.word(piece, line);
        }
        line += piece.matches('\n').count();
        rest = &rest[length..];
    }
    done.push(current);
    done.retain(|statement| !statement.words.is_empty());
    done
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of what the text begins with: a comment, a quoted text, a word, or one character.
fn token(text: &str, first: char) -> usize {
    let to_end = |end: Option<usize>| end.unwrap_or(text.len());
    match first {
        '-' if text.starts_with("--") => to_end(text.find('\n')),
        '/' if text.starts_with("/*") => block_comment(text),
        '\'' | '"' | '`' => quoted(text, first, false),
        'e' | 'E' if text[1..].starts_with('\'') => 1 + quoted(&text[1..], '\'', true),
        '$' => dollar_quoted(text).unwrap_or(1),
        c if is_word(c) => to_end(text.find(|c: char| !is_word(c) && c != '$')),
        c => c.len_utf8(),
    }
}

/// PostgreSQL nests them.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// A doubled quote is read as the end of one text and the beginning of the next, to the same effect.
fn quoted(text: &str, quote: char, backslashes: bool) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if backslashes && c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    text.len()
}

/// `$tag$ … $tag$`
fn dollar_quoted(text: &str) -> Option<usize> {
    let tag_end = 1 + text[1..].find(|c: char| !is_word(c))?;
    if !text[tag_end..].starts_with('$') || text[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let tag = &text[..=tag_end];
    let body = &text[tag.len()..];
    Some(body.find(tag).map_or(text.len(), |end| tag.len() + end + tag.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Result<(), String> {
        let file = Migration { name: "1.sql".into(), text: text.into(), checksum: String::new() };
        check(&file).map_err(|stop| match stop {
            Stop::Failed(failure) => failure.message,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn a_file_that_would_leave_its_transaction_is_refused_with_the_line() {
        for (text, found) in [
            ("BEGIN; create table a(x int); COMMIT;", "line 1: `BEGIN`"),
            ("create table a(x int);\n-- now\ncommit;", "line 3: `COMMIT`"),
            ("start transaction", "`START TRANSACTION`"),
            ("create table a(x int); end", "`END`"),
            ("CREATE UNIQUE INDEX CONCURRENTLY i ON a(x)", "leave out CONCURRENTLY"),
            ("/* /* nested */ */ vacuum a", "`VACUUM A`"),
            ("select e'\\''; rollback", "`ROLLBACK`"),
        ] {
            let message = verdict(text).expect_err(text);
            assert!(message.contains(found), "{text}: {message}");
        }
    }

    #[test]
    fn words_in_quotes_comments_and_bodies_are_left_alone() {
        for text in [
            "insert into a values ('x; commit; y'); -- commit;\n/* rollback; */ select \"end\" from b",
            "create function f() returns int as $$ begin return 1; end; $$ language plpgsql; select 1",
            "create function f() returns int as $body$ begin; commit; $body$ language sql",
            "create function f(a int) returns int begin atomic select case when a > 1 then 1 else 2 end; select 3; end; select 1",
            "create trigger t after insert on a begin update b set x = 1; delete from c; end; select 1;",
            "savepoint a; rollback to a; release a",
            "insert into a values ('it''s; commit;')",
            "refresh materialized view concurrently v",
            "",
        ] {
            assert_eq!(verdict(text), Ok(()), "{text}");
        }
    }
}

//! How the command ends when it does not end well, and with which exit code.

use slipway_domain::{api::Problem, manifest::parse::Problem as TextProblem};

/// Why the command stops. The exit codes are fixed; scripts rely on them.
#[derive(Debug)]
pub enum Failure {
    /// 1: it did not work.
    Failed(String),
    /// 1: nobody answers at the server's address.
    Unreachable(String),
    /// 2: the command line makes no sense.
    Usage(String),
    /// 1 or 3: the server answered with a problem document; 3 if a rule said no.
    Problem(Box<Problem>),
    /// 3: a rule says no, found without asking the server to act.
    Refused(String),
    /// 3: manifests with problems, found without asking a server.
    Manifests(Vec<TextProblem>),
    /// 4: only a person can let it go on.
    Waiting(String),
    /// 1: what had to be said is already printed.
    Told,
}

/// What every part of the command returns.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure, from anything that tells itself.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// Whether asking again may help: the server is not there, or not ready.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Problem(problem) => matches!(problem.status, 429 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Unreachable(_) | Self::Told => 1,
            Self::Usage(_) => 2,
            Self::Problem(problem) if matches!(problem.status, 403 | 409 | 422) => 3,
            Self::Problem(_) => 1,
            Self::Refused(_) | Self::Manifests(_) => 3,
            Self::Waiting(_) => 4,
        }
    }

    /// What people read on stderr, with a line end; empty if there is nothing more to say.
    pub fn shown(&self) -> String {
        match self {
            Self::Failed(message) | Self::Unreachable(message) | Self::Refused(message) => {
                format!("error: {message}\n")
            }
            Self::Usage(message) => format!("error: {message}\nTry `slipway --help`.\n"),
            Self::Problem(problem) => shown_problem(problem),
            Self::Manifests(problems) => {
                let list: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
                format!("{list}error: {}\n", count(problems.len(), "problem"))
            }
            Self::Waiting(message) => format!("{message}\n"),
            Self::Told => String::new(),
        }
    }
}

fn shown_problem(problem: &Problem) -> String {
    let mut text = format!("error: {}\n", problem.title);
    if !problem.detail.is_empty() && problem.detail != problem.title {
        text.push_str(&format!("  {}\n", problem.detail));
    }
    for one in &problem.problems {
        text.push_str(&format!("  - {one}\n"));
    }
    text.push_str(&format!("  code: {} (HTTP {})\n", problem.code, problem.status));
    if let Some(trace) = &problem.trace {
        text.push_str(&format!("  trace: {trace}\n"));
    }
    text
}

/// `1 problem`, `2 problems`.
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16) -> Problem {
        Problem {
            kind: "https://slipway.dev/errors/manifests-refused".to_owned(),
            code: "manifests-refused".to_owned(),
            status,
            title: "The manifests have problems".to_owned(),
            detail: "Nothing was changed.".to_owned(),
            problems: vec![TextProblem {
                file: Some("a.yml".to_owned()),
                line: Some(3),
                message: "unknown key `x`".to_owned(),
            }],
            trace: None,
        }
    }

    #[test]
    fn a_problem_document_is_told_with_everything_it_says() {
        let failure = Failure::Problem(Box::new(problem(422)));
        assert_eq!(
            failure.shown(),
            "error: The manifests have problems\n  Nothing was changed.\n  - a.yml:3: unknown key `x`\n  code: manifests-refused (HTTP 422)\n"
        );
    }

    #[test]
    fn the_exit_code_tells_a_refusal_from_a_failure() {
        for (status, code) in [(403, 3), (409, 3), (422, 3), (401, 1), (404, 1), (500, 1)] {
            assert_eq!(Failure::Problem(Box::new(problem(status))).exit_code(), code, "{status}");
        }
        assert_eq!(Failure::Usage(String::new()).exit_code(), 2);
        assert_eq!(Failure::Waiting(String::new()).exit_code(), 4);
    }
}

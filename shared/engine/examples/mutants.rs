//! Breaks each rule of `mutants.yml` in a copy of this crate and runs the tests that must see it.
//!
//! `deploy/mutants [NAME…]`. Without names all. Ends with 1 if one survives.

#![expect(clippy::print_stdout, reason = "a program for people")]

#[path = "../tests/it/mutants/list.rs"]
mod list;

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use list::Mutant;

/// A test program that runs longer hangs, which is a way to die.
const PATIENCE: Duration = Duration::from_secs(120);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wanted: BTreeSet<String> = std::env::args().skip(1).collect();
    let mutants = list::list(engine)?;
    if let Some(unknown) = wanted.iter().find(|name| mutants.iter().all(|m| m.name != **name)) {
        return Err(format!("there is no mutant {unknown} in shared/engine/mutants.yml").into());
    }
    let scratch = Scratch::new(engine)?;
    let failed = scratch.run(&[])?.failed;
    if !failed.is_empty() {
        return Err(format!("these fail without any mutant: {failed:?}").into());
    }
    let mut survivors = Vec::new();
    for mutant in mutants.iter().filter(|m| wanted.is_empty() || wanted.contains(&m.name)) {
        let started = Instant::now();
        let verdict = scratch.try_mutant(mutant)?;
        println!("{:5.1}s  {verdict:8}  {}: {}", started.elapsed().as_secs_f32(), mutant.name, mutant.rule);
        if verdict != "dies" {
            survivors.push(mutant.name.as_str());
        }
    }
    match survivors.as_slice() {
        [] => {
            println!("every mutant dies");
            Ok(())
        }
        _ => Err(format!("{} survive: {}", survivors.len(), survivors.join(", ")).into()),
    }
}

/// A copy of the two pure crates, with a target folder of its own.
struct Scratch {
    folder: PathBuf,
    engine: PathBuf,
}

/// What a run of the tests showed.
struct Ran {
    failed: BTreeSet<String>,
    /// It hung, or died otherwise than by failed tests.
    died: bool,
}

impl Scratch {
    fn new(engine: &Path) -> Result<Self> {
        let root = engine.join("../..").canonicalize()?;
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let folder = target.join("mutants");
        let shared = folder.join("shared");
        if shared.exists() {
            fs::remove_dir_all(&shared)?;
        }
        copy(&root.join("shared/domain"), &shared.join("domain"))?;
        copy(engine, &shared.join("engine"))?;
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
        let members = manifest.lines().find(|l| l.starts_with("members = ")).ok_or("Cargo.toml lists its members")?;
        let few = "members = [\"shared/domain\", \"shared/engine\"]";
        fs::write(folder.join("Cargo.toml"), manifest.replacen(members, few, 1))?;
        Ok(Self { engine: shared.join("engine"), folder })
    }

    fn try_mutant(&self, mutant: &Mutant) -> Result<&'static str> {
        let path = self.engine.join(&mutant.file);
        let source = fs::read_to_string(&path)?;
        fs::write(&path, mutant.applied(&source)?)?;
        // Whoever else sees it does not matter, and looking takes most of the time.
        let ran = self.run(&mutant.killed_by);
        fs::write(&path, source)?;
        let ran = ran?;
        let missed: Vec<_> = mutant
            .killed_by
            .iter()
            .filter(|test| !ran.failed.iter().any(|f| f.ends_with(&format!("::{test}"))))
            .collect();
        if mutant.killed_by.is_empty() {
            println!("{} {:?}", mutant.name, ran.failed);
        }
        if !ran.died && !missed.is_empty() {
            println!("        {} is not seen by {missed:?}", mutant.name);
        }
        Ok(if ran.died || missed.is_empty() && !ran.failed.is_empty() { "dies" } else { "SURVIVES" })
    }

    /// Builds, and runs the tests of these names, or all of the crate. Errs if it does not build.
    fn run(&self, names: &[String]) -> Result<Ran> {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let built = Command::new(cargo)
            .args([
                "test",
                "--offline",
                "--no-run",
                "--message-format=json",
                "-p",
                "slipway-engine",
                "--lib",
                "--test",
                "it",
            ])
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", self.folder.join("target"))
            // What is remembered of each mutant would grow to gigabytes.
            .env("CARGO_INCREMENTAL", "0")
            .stderr(Stdio::piped())
            .output()?;
        if !built.status.success() {
            return Err(format!("it does not build: {}", String::from_utf8_lossy(&built.stdout)).into());
        }
        let mut ran = Ran { failed: BTreeSet::new(), died: false };
        for line in String::from_utf8(built.stdout)?.lines() {
            let message: serde_json::Value = serde_json::from_str(line)?;
            if let Some(program) = message["executable"].as_str() {
                self.test(Path::new(program), names, &mut ran)?;
            }
        }
        Ok(ran)
    }

    #[expect(clippy::disallowed_methods, reason = "there is no runtime here whose thread it could block")]
    fn test(&self, program: &Path, names: &[String], ran: &mut Ran) -> Result<()> {
        let output = self.folder.join("output");
        let mut tests = Command::new(program)
            // Their own list would differ from what is tried, and shortening takes time nobody reads.
            .args(["--skip", "every_mutant_still_fits", "--skip", "golden"])
            .args(names)
            .env("SLIPWAY_SIM_SHRINK", "no")
            .env("SLIPWAY_SIM_SEEDS", "150")
            .current_dir(&self.engine)
            .stdout(fs::File::create(&output)?)
            .stderr(Stdio::null())
            .spawn()?;
        let started = Instant::now();
        let status = loop {
            match tests.try_wait()? {
                Some(status) => break Some(status),
                None if started.elapsed() > PATIENCE => {
                    tests.kill()?;
                    tests.wait()?;
                    break None;
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let text = fs::read_to_string(&output)?;
        let failed = text.lines().filter_map(|l| l.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        let before = ran.failed.len();
        ran.failed.extend(failed.map(str::to_owned));
        ran.died |= !status.is_some_and(|s| s.success()) && ran.failed.len() == before;
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?
        } else {
            let _ = fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

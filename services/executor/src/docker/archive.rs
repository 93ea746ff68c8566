//! Files out of a container that never ran.

use std::io::Read;

use bollard::query_parameters::DownloadFromContainerOptions;
use futures::StreamExt;

use super::{DockerError, Engine};

/// How many bytes a folder may have. Far above any set of migrations.
const LIMIT: usize = 64 << 20;

impl Engine {
    /// The files directly in a folder of a container whose names end in `ending`, with their bytes.
    pub async fn files(&self, id: &str, folder: &str, ending: &str) -> Result<Vec<(String, Vec<u8>)>, DockerError> {
        let doing = format!("reading {folder} from the image");
        let refused = |message: String| DockerError::Refused { doing: doing.clone(), message };
        // `/.` resolves links and insists on a folder.
        let options = DownloadFromContainerOptions { path: format!("{}/.", folder.trim_end_matches('/')) };
        let mut stream = self.docker.download_from_container(id, Some(options)).boxed();
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| self.explain(&doing, folder, error))?);
            if bytes.len() > LIMIT {
                return Err(refused(format!("the folder holds more than {} MB", LIMIT >> 20)));
            }
        }
        unpack(&bytes, ending).map_err(|error| refused(error.to_string()))
    }
}

fn unpack(bytes: &[u8], ending: &str) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(bytes).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let name = path.strip_prefix("./").unwrap_or(&path);
        if entry.header().entry_type().is_file() && name.ends_with(ending) && !name.contains('/') {
            let name = name.to_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.push((name, content));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_directly_in_the_folder_with_the_ending_are_taken() {
        let mut archive = tar::Builder::new(Vec::new());
        for name in ["./1.sql", "./readme.txt", "./old/0.sql"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(1);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append_data(&mut header, name, &b"x"[..]).unwrap();
        }
        let files = unpack(&archive.into_inner().unwrap(), ".sql").unwrap();
        assert_eq!(files, vec![("1.sql".to_owned(), b"x".to_vec())]);
    }
}

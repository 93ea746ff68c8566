//! Files out of, and into, a container that never ran.

use std::io::Read;

use bollard::{
    body_full,
    query_parameters::{DownloadFromContainerOptions, UploadToContainerOptionsBuilder},
};
use futures::StreamExt;
use slipway_service::failpoint;

use super::{DockerError, Engine};

/// How many bytes a folder may have. Far above any set of migrations.
const LIMIT: usize = 64 << 20;

/// A file to put into a container. No `Debug`: it may hold a secret.
pub struct NewFile {
    /// Its path, from the folder that it is put into.
    pub path: String,
    /// What is in it.
    pub text: String,
    /// Its mode.
    pub mode: u32,
    /// Whose it is: user and group.
    pub owner: (u64, u64),
}

impl Engine {
    /// Puts files below a folder of a container; folders that are missing are made.
    pub async fn put_files(&self, id: &str, folder: &str, files: &[NewFile]) -> Result<(), DockerError> {
        let doing = "putting files into the container";
        let packed = pack(files);
        let packed = packed.map_err(|e| DockerError::Refused { doing: doing.to_owned(), message: e.to_string() })?;
        let options = UploadToContainerOptionsBuilder::new().path(folder).build();
        failpoint!("executor.put.before");
        let put = self.docker.upload_to_container(id, Some(options), body_full(packed.into())).await;
        failpoint!("executor.put.after");
        put.map_err(|error| self.explain(doing, folder, error))
    }

    /// One file of a container; none if it is not there.
    pub async fn file(&self, id: &str, path: &str) -> Result<Option<Vec<u8>>, DockerError> {
        match self.download(id, path.to_owned(), &format!("reading {path} from the image")).await {
            Ok(bytes) => Ok(first(&bytes).ok()),
            Err(DockerError::Gone(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The files directly in a folder of a container whose names end in `ending`, with their bytes.
    pub async fn files(&self, id: &str, folder: &str, ending: &str) -> Result<Vec<(String, Vec<u8>)>, DockerError> {
        let doing = format!("reading {folder} from the image");
        // `/.` resolves links and insists on a folder.
        let bytes = self.download(id, format!("{}/.", folder.trim_end_matches('/')), &doing).await?;
        unpack(&bytes, ending).map_err(|error| DockerError::Refused { doing, message: error.to_string() })
    }

    /// An archive of a path of a container.
    async fn download(&self, id: &str, path: String, doing: &str) -> Result<Vec<u8>, DockerError> {
        let options = DownloadFromContainerOptions { path: path.clone() };
        let mut stream = self.docker.download_from_container(id, Some(options)).boxed();
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| self.explain(doing, &path, error))?);
            if bytes.len() > LIMIT {
                let message = format!("{path} holds more than {} MB", LIMIT >> 20);
                return Err(DockerError::Refused { doing: doing.to_owned(), message });
            }
        }
        Ok(bytes)
    }
}

/// An archive of files.
fn pack(files: &[NewFile]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.text.len() as u64);
        header.set_mode(file.mode);
        header.set_uid(file.owner.0);
        header.set_gid(file.owner.1);
        // The same bytes whenever it is made.
        header.set_mtime(0);
        archive.append_data(&mut header, &file.path, file.text.as_bytes())?;
    }
    archive.into_inner()
}

/// The first file of an archive.
fn first(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    for entry in tar::Archive::new(bytes).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            entry.read_to_end(&mut content)?;
            return Ok(content);
        }
    }
    Err(std::io::ErrorKind::NotFound.into())
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

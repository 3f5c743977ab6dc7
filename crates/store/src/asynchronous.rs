//! The cache for callers that must not wait.

use std::path::PathBuf;

use antiphon_types::{BlobId, BlobSize};
use bytes::Bytes;
use tokio::task::spawn_blocking;

use crate::blob::Put;
use crate::disk::FileError;
use crate::error::{BeginError, OpenError, PutError, ReadError, RemoveError};
use crate::figures::{Cleared, Config};
use crate::proof::ProofCursor;
use crate::store::Store;

/// A [`Store`] whose methods may be awaited, on a `tokio` runtime.
///
/// A block that the system has in memory is read on the spot; whatever may wait
/// for a disk happens on one of the runtime's blocking threads. What asks no
/// disk, such as [`Store::blocks`], is called on [`store`](Self::store).
///
/// A call that is dropped before it is done is done all the same.
///
/// ```
/// use antiphon_store::{AsyncStore, BlobTree, Config, ProofCursor, Put};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// let bytes = vec![42; 20_000];
/// let source = BlobTree::of(&bytes).expect("not empty");
///
/// let store = AsyncStore::open(folder.path(), Config::default()).await?;
/// store.begin(source.blob(), source.size()).await?;
/// let proof = source.proof(1, &mut ProofCursor::new()).expect("all is known");
/// let put = store.put(source.blob(), 1, proof.into(), bytes[16_384..].to_vec().into()).await?;
/// assert_eq!(put, Put::Stored);
/// store.sync(source.blob()).await?;
/// assert_eq!(store.read(source.blob(), 1).await?.as_deref(), Some(&bytes[16_384..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct AsyncStore {
    store: Store,
}

impl From<Store> for AsyncStore {
    fn from(store: Store) -> Self {
        Self { store }
    }
}

impl AsyncStore {
    /// As [`Store::open`].
    pub async fn open(folder: impl Into<PathBuf>, config: Config) -> Result<Self, OpenError> {
        let folder = folder.into();
        Ok(blocking(move || Store::open(&folder, config)).await?.into())
    }

    /// The store itself.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// As [`Store::begin`].
    pub async fn begin(&self, blob: BlobId, size: BlobSize) -> Result<(), BeginError> {
        self.on_disk(move |store| store.begin(blob, size)).await
    }

    /// As [`Store::put`].
    pub async fn put(
        &self,
        blob: BlobId,
        block: u32,
        proof: Bytes,
        data: Bytes,
    ) -> Result<Put, PutError> {
        self.on_disk(move |store| store.put(blob, block, &proof, &data)).await
    }

    /// As [`Store::read`].
    pub async fn read(&self, blob: BlobId, block: u32) -> Result<Option<Bytes>, ReadError> {
        match self.store.read_at_once(blob, block) {
            Some(bytes) => Ok(Some(bytes)),
            None => self.on_disk(move |store| store.read(blob, block)).await,
        }
    }

    /// A block and its proof, less what `cursor` has seen: what one peer sends
    /// another. None if the block is not there.
    pub async fn read_with_proof(
        &self,
        blob: BlobId,
        block: u32,
        cursor: &mut ProofCursor,
    ) -> Result<Option<(Bytes, Vec<u8>)>, ReadError> {
        let Some(data) = self.read(blob, block).await? else { return Ok(None) };
        // Who has read a block has read the hashes: no disk is asked.
        Ok(self.store.proof(blob, block, cursor)?.map(|proof| (data, proof)))
    }

    /// As [`Store::sync`].
    pub async fn sync(&self, blob: BlobId) -> Result<(), FileError> {
        self.on_disk(move |store| store.sync(blob)).await
    }

    /// As [`Store::flush`].
    pub async fn flush(&self) -> Result<(), FileError> {
        self.on_disk(Store::flush).await
    }

    /// As [`Store::pin`].
    pub async fn pin(&self, blob: BlobId) -> Result<(), FileError> {
        self.on_disk(move |store| store.pin(blob)).await
    }

    /// As [`Store::unpin`].
    pub async fn unpin(&self, blob: BlobId) -> Result<(), FileError> {
        self.on_disk(move |store| store.unpin(blob)).await
    }

    /// As [`Store::remove`].
    pub async fn remove(&self, blob: BlobId) -> Result<bool, RemoveError> {
        self.on_disk(move |store| store.remove(blob)).await
    }

    /// As [`Store::clear`].
    pub async fn clear(&self) -> Result<Cleared, FileError> {
        self.on_disk(Store::clear).await
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> T {
        let store = self.store.clone();
        blocking(move || work(&store)).await
    }
}

/// Runs `work` on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and with it whoever waits here.
            Err(_) => std::future::pending().await,
        },
    }
}

//! A damaged file of the writer id: the store is refused until a repair has written the id of the records.

use super::*;
use crate::HOST_PREFIX;

/// Opens the store of `dir` to repair it, and returns it with its scratch folder.
fn open_to_repair(dir: &Path) -> Result<(EmbeddedDriver, TempDir), Error> {
    let scratch = TempDir::new().unwrap();
    let opened = EmbeddedDriver::open_to_repair(options(dir), scratch.path())?;
    Ok((opened.unwrap(), scratch))
}

fn refused(opened: Result<impl Sized, Error>) -> String {
    match opened.map(drop) {
        Err(Error::DataLoss(text)) => text,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_damaged_writer_id_is_refused_and_made_anew_from_the_records() {
    let dir = TempDir::new().unwrap();
    let kv = open(dir.path()).await;
    kv.commit("p", "a", b"1").await.unwrap();
    kv.sync().await.unwrap();
    let (id, epoch) = (kv.driver.writer_id(), kv.claim.epoch);
    drop(kv);
    let file = dir.path().join("WRITER");
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[5] ^= 0x20;
    for damaged in [&b""[..], b"\n", &whole[..20], &flipped, b"\xff\xfe"] {
        fs::write(&file, damaged).unwrap();
        let scratch = TempDir::new().unwrap();
        for told in [
            refused(EmbeddedDriver::open(options(dir.path()))),
            refused(EmbeddedDriver::open_read_only(
                options(dir.path()),
                scratch.path(),
            )),
        ] {
            for part in ["/WRITER`", "is damaged", "`larder repair`"] {
                assert!(told.contains(part), "no {part:?} in {told}");
            }
        }
        assert_eq!(fs::read(&file).unwrap(), damaged);

        let (driver, _scratch) = open_to_repair(dir.path()).unwrap();
        assert!(driver.has_damaged_writer_id());
        assert_eq!(driver.writer_id(), id);
        // Another process may not have it open.
        let aside = TempDir::new().unwrap();
        let in_use = EmbeddedDriver::replace_writer_id(dir.path(), &id, aside.path());
        assert!(matches!(in_use, Err(Error::Unavailable(_))), "{in_use:?}");
        drop(driver);
        EmbeddedDriver::replace_writer_id(dir.path(), &id, aside.path()).unwrap();
        assert_eq!(fs::read(&file).unwrap(), whole);
        assert_eq!(fs::read(aside.path().join("WRITER")).unwrap(), damaged);
    }
    let (whole, scratch) = open_to_repair(dir.path()).unwrap();
    assert!(!whole.has_damaged_writer_id());
    drop((whole, scratch));
    let kv = open(dir.path()).await;
    assert_eq!(kv.get("p", "a").await.unwrap(), Some(b"1".to_vec()));
    assert_eq!(kv.kv.writers().await.unwrap(), [id]);
    assert!(kv.claim.epoch > epoch, "earlier claims stay fenced");
}

#[tokio::test]
async fn of_several_recorded_ids_none_is_chosen() {
    let dir = TempDir::new().unwrap();
    let kv = open(dir.path()).await;
    let (id, other) = (kv.driver.writer_id(), "0123456789abcdef0123456789abcdef");
    kv.kv.claim(other).await.unwrap();
    drop(kv);
    let file = dir.path().join("WRITER");
    fs::write(&file, b"").unwrap();
    let told = refused(open_to_repair(dir.path()));
    for part in [&*id, other, "echo ID >", &*file.to_string_lossy()] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    // As the text says.
    fs::write(&file, format!("{id}\n")).unwrap();
    assert_eq!(open(dir.path()).await.driver.writer_id(), id);
}

#[tokio::test]
async fn the_host_s_own_writers_are_none_of_the_recorded_ids() {
    let dir = TempDir::new().unwrap();
    let kv = open(dir.path()).await;
    let id = kv.driver.writer_id();
    kv.kv.claim(&format!("{HOST_PREFIX}{id}")).await.unwrap();
    drop(kv);
    fs::write(dir.path().join("WRITER"), b"").unwrap();
    let (driver, _scratch) = open_to_repair(dir.path()).unwrap();
    assert_eq!(driver.writer_id(), id);
}

#[tokio::test]
async fn a_store_that_nobody_wrote_to_gets_a_new_id() {
    let dir = TempDir::new().unwrap();
    let driver = EmbeddedDriver::open(options(dir.path())).unwrap();
    driver.open("t").await.unwrap();
    drop(driver);
    fs::write(dir.path().join("WRITER"), b"?").unwrap();
    let (driver, scratch) = open_to_repair(dir.path()).unwrap();
    let id = driver.writer_id();
    drop((driver, scratch));
    EmbeddedDriver::replace_writer_id(dir.path(), &id, &dir.path().join("aside")).unwrap();
    assert_eq!(open(dir.path()).await.driver.writer_id(), id);
}

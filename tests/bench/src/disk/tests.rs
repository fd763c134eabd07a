use super::*;

#[test]
fn all_files_below_count_and_holes_do_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("inner"))?;
    std::fs::write(folder.path().join("inner/full"), vec![1; 1 << 20])?;
    std::fs::File::create(folder.path().join("hole"))?.set_len(1 << 30)?;
    let named = [format!("kv={}", folder.path().display()).parse()?];
    let used = of(&named, "kv")?.context("bytes")?;
    assert!((1 << 20..2 << 20).contains(&used), "{used}");
    assert_eq!(of(&named, "memory")?, None);
    Ok(())
}

#[test]
fn a_folder_that_is_not_there_is_an_error() -> Result<()> {
    let named = ["kv=/no/such/folder".parse()?];
    let error = of(&named, "kv").err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("cannot measure /no/such/folder"));
    assert!("kv".parse::<Folder>().is_err());
    Ok(())
}

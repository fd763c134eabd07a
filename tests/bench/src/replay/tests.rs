use super::*;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("spans")
    }

    fn written(&self, corpus: &Corpus) -> Result<Vec<u8>> {
        write(corpus, &self.path())?;
        Ok(std::fs::read(self.path())?)
    }

    /// Returns the error for a file with these bytes.
    fn error(&self, bytes: &[u8]) -> Result<String> {
        std::fs::write(self.path(), bytes)?;
        let read: Result<Vec<Request>> = Reader::open(&self.path()).and_then(Iterator::collect);
        let error = read.err().context("it was read")?;
        Ok(format!("{error:#}"))
    }
}

#[test]
fn a_file_reads_back_as_the_generator_makes_it() -> Result<()> {
    let files = Files::new()?;
    let made = Corpus::new(9, 2_500, 1_000);
    files.written(&made)?;
    assert_eq!(corpus(&files.path())?.identity(), (9, 2_500, 1_000));
    let read: Vec<Request> = Reader::open(&files.path())?.collect::<Result<_>>()?;
    assert_eq!(read.len(), 3);
    for (index, request) in (0..).zip(&read) {
        let made = made.request(index);
        assert_eq!((&request.bytes, request.spans), (&made.bytes, made.spans));
    }
    Ok(())
}

#[test]
fn the_time_of_a_span_is_in_the_file_if_it_is_not_the_usual() -> Result<()> {
    let files = Files::new()?;
    let usual = Corpus::new(9, 2_000, 1_000);
    let bytes = files.written(&usual)?;
    assert_eq!(bytes.get(..8), Some(b"LarderB1".as_slice()));
    assert_eq!(corpus(&files.path())?.window(), usual.window());
    let slower = usual.clone().with_step(5 * STEP);
    let bytes = files.written(&slower)?;
    assert_eq!(bytes.get(..8), Some(b"LarderB2".as_slice()));
    let read = corpus(&files.path())?;
    assert_eq!(read.identity(), usual.identity());
    assert_eq!(read.window(), slower.window());
    assert_ne!(read.window(), usual.window());
    let requests: Vec<Request> = Reader::open(&files.path())?.collect::<Result<_>>()?;
    let bytes = requests.iter().map(|request| request.bytes.clone());
    assert!(bytes.eq((0..2).map(|index| slower.request(index).bytes)));
    Ok(())
}

#[test]
fn a_file_that_ends_early_is_refused_before_anything_is_read() -> Result<()> {
    let files = Files::new()?;
    let bytes = files.written(&Corpus::new(9, 2_000, 1_000))?;
    for length in [41, bytes.len() / 2, bytes.len() - 1] {
        let cut = bytes.get(..length).context("a part")?;
        let error = files.error(cut)?;
        assert!(
            error.contains("cut short") && error.contains("generate it again"),
            "{error}"
        );
    }
    Ok(())
}

#[test]
fn a_foreign_file_is_refused() -> Result<()> {
    let files = Files::new()?;
    for bytes in [&b""[..], &[7; 20], &[b'{'; 4_000]] {
        let error = files.error(bytes)?;
        assert!(error.contains("is no file of Exports"), "{error}");
    }
    Ok(())
}

#[test]
fn damage_in_the_middle_names_the_request() -> Result<()> {
    let files = Files::new()?;
    let mut bytes = files.written(&Corpus::new(9, 2_000, 1_000))?;
    let length = bytes.get_mut(40..44).context("the first length")?;
    length.copy_from_slice(&u32::MAX.to_le_bytes());
    let error = files.error(&bytes)?;
    assert!(
        error.contains("request 0 of 2") && error.contains("4294967295 bytes"),
        "{error}"
    );
    Ok(())
}

#[test]
fn numbers_that_contradict_each_other_are_refused() -> Result<()> {
    let files = Files::new()?;
    let mut bytes = files.written(&Corpus::new(9, 2_000, 1_000))?;
    *bytes.get_mut(32).context("the number of requests")? += 1;
    let error = files.error(&bytes)?;
    assert!(error.contains("are not 3 requests"), "{error}");
    Ok(())
}

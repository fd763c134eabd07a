//! What a crash may leave at the end of the journal: a part of a frame, or anything at all. And images of the folder, taken while it
//! is written.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use larder_tests::{Home, Options, Plugin};

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::load::Load;

fn append(journal: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(journal).unwrap();
    file.write_all(bytes).unwrap();
}

/// The first frame's header and a part of what should follow, under a number that none has had.
fn part_of_a_frame(length: u32) -> Vec<u8> {
    let mut frame = b"LJF1".to_vec();
    frame.extend(u64::MAX.to_le_bytes());
    frame.extend(length.to_le_bytes());
    frame.extend([7; 8]);
    frame.extend([1; 100]);
    frame
}

#[tokio::test]
async fn an_end_of_the_journal_that_is_no_frame_costs_nothing() {
    let mut dice = Dice::cast();
    let (home, ledger) = (Home::new(), Ledger::new(dice.next()));
    let garbage: Vec<u8> = std::iter::repeat_with(|| dice.next().to_le_bytes())
        .take(1000)
        .flatten()
        .collect();
    for tail in [
        part_of_a_frame(100_000),
        part_of_a_frame(100),
        part_of_a_frame(u32::MAX),
        b"LJF".to_vec(),
        b"LJF1".repeat(50),
        vec![0; 4096],
        garbage,
    ] {
        let larder = Options::new(Plugin::Kv).start_in(&home);
        let client = larder.client().await;
        ledger.verify_all(&client).await;
        for _ in 0..8 {
            ledger.store(&client).await;
        }
        larder.kill();
        append(home.kv_files("journal").last().unwrap(), &tail);
    }
    let larder = Options::new(Plugin::Kv).start_in(&home);
    ledger.verify_all(&larder.client().await).await;
    let damaged = larder
        .lines()
        .into_iter()
        .find(|line| line.contains("is damaged"));
    assert_eq!(damaged, None, "a torn end is no damage");
}

/// Cut anywhere behind what was acknowledged at some moment, the journal still has all of that; and no Export in part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_cut_anywhere_has_all_that_was_acknowledged_before_there() {
    let mut dice = Dice::cast();
    let (home, ledger) = (Home::new(), Arc::new(Ledger::new(dice.next())));
    let larder = Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    for _ in 0..20 {
        ledger.store(&client).await;
    }
    let journal = home.kv_files("journal").pop().unwrap();
    let kept = fs::metadata(&journal).unwrap().len();
    let before = ledger.so_far();
    let load = Load::start(&larder, &ledger, 4).await;
    load.acknowledged(15).await;
    larder.kill();
    load.stop().await;

    // A loaded machine may have taken so long that the journal has been folded into the tree.
    let length = fs::metadata(&journal).map_or(kept, |it| it.len());
    for _ in 0..6 {
        let image = home.copy();
        if length > kept {
            let cut = kept + dice.below(length - kept);
            let journal = image.kv_files("journal").pop().unwrap();
            let file = OpenOptions::new().write(true).open(journal).unwrap();
            file.set_len(cut).unwrap();
        }
        let larder = Options::new(Plugin::Kv).start_in(&image);
        let known = ledger.with_acknowledged(&before);
        known.verify_all(&larder.client().await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_of_the_folder_has_all_that_was_acknowledged_before_it() {
    for plugin in [Plugin::Kv, Plugin::Brittle] {
        let mut dice = Dice::cast();
        let (home, ledger) = (Home::new(), Arc::new(Ledger::new(dice.next())));
        let larder = Options::new(plugin).start_in(&home);
        let load = Load::start(&larder, &ledger, 4).await;
        for taken in 1..4 {
            load.acknowledged(taken * 25).await;
            let before = ledger.so_far();
            // Nothing moves while the image is made; and nothing else has to be looked at as long as the load rests.
            larder.signal("STOP");
            larder.is_stopped();
            let image = home.copy();
            let other = Options::new(plugin).start_in(&image);
            let known = ledger.with_acknowledged(&before);
            known.verify_all(&other.client().await).await;
            larder.signal("CONT");
        }
        load.stop().await;
        ledger.verify_all(&larder.client().await).await;
    }
}

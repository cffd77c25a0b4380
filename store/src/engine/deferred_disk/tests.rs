use parking_lot::Mutex;

use super::*;

/// A disk in memory that notes what is done to it, and fails where told to.
#[derive(Debug, Default)]
struct Noting {
    bytes: Mutex<Vec<u8>>,
    done: Mutex<Vec<String>>,
    fail_at: Mutex<Option<usize>>,
}

impl Noting {
    fn with(bytes: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            bytes: Mutex::new(bytes.to_vec()),
            ..Self::default()
        })
    }

    fn done(&self) -> Vec<String> {
        self.done.lock().clone()
    }

    fn note(&self, what: String) -> io::Result<()> {
        let mut done = self.done.lock();
        if self.fail_at.lock().take_if(|at| *at == done.len()).is_some() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        done.push(what);
        Ok(())
    }
}

impl Disk for Noting {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        out.copy_from_slice(&self.bytes.lock()[from..from + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(format!("len {len}"))?;
        self.bytes.lock().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.note("sync".to_owned())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.note(format!("write {offset}"))?;
        let (from, mut all) = (usize::try_from(offset).unwrap(), self.bytes.lock());
        let len = all.len().max(from + bytes.len());
        all.resize(len, 0);
        all[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn free(&self) -> Option<u64> {
        None
    }
}

fn read(disk: &DeferredDisk) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(disk.len().unwrap()).unwrap()];
    disk.read(0, &mut bytes).unwrap();
    bytes
}

/// What a store does while it is opened.
fn open(disk: &DeferredDisk) {
    disk.write(0, b"A").unwrap();
    disk.sync().unwrap();
    disk.set_len(12).unwrap();
    disk.write(10, b"zz").unwrap();
    disk.write(0, b"B").unwrap();
    disk.sync().unwrap();
}

const BEFORE: &[u8] = b"0123456789";
const AFTER: &[u8] = b"B123456789zz";
const ORDER: [&str; 6] = ["write 0", "sync", "len 12", "write 10", "write 0", "sync"];

#[test]
fn nothing_is_done_below_before_the_release_and_all_in_order_by_it() {
    let below = Noting::with(BEFORE);
    let disk = DeferredDisk::new(Arc::clone(&below) as _).unwrap();
    open(&disk);
    assert_eq!(read(&disk), AFTER);
    assert_eq!(below.done(), [""; 0]);
    assert_eq!(*below.bytes.lock(), BEFORE);
    disk.release().unwrap();
    assert_eq!(below.done(), ORDER);
    assert_eq!(*below.bytes.lock(), AFTER);
    disk.release().unwrap();
    disk.write(1, b"C").unwrap();
    assert_eq!(below.done().len(), 7, "once, and then at once");
    assert_eq!(read(&disk)[..2], *b"BC");
}

#[test]
fn a_disk_that_is_never_released_changes_nothing() {
    let below = Noting::with(BEFORE);
    let disk = DeferredDisk::new(Arc::clone(&below) as _).unwrap();
    open(&disk);
    drop(disk);
    assert_eq!(below.done(), [""; 0]);
}

#[test]
fn a_release_that_failed_goes_on_where_it_stopped() {
    for at in 0..ORDER.len() {
        let below = Noting::with(BEFORE);
        let disk = DeferredDisk::new(Arc::clone(&below) as _).unwrap();
        open(&disk);
        *below.fail_at.lock() = Some(at);
        assert_eq!(
            disk.release().unwrap_err().kind(),
            io::ErrorKind::StorageFull,
            "at {at}"
        );
        assert_eq!(below.done(), ORDER[..at], "at {at}");
        assert_eq!(read(&disk), AFTER, "at {at}: what is read does not change");
        disk.release().unwrap();
        assert_eq!(below.done(), ORDER, "at {at}");
        assert_eq!(read(&disk), AFTER);
    }
}

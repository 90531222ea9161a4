//! The access log against real files: what ends up in them, whatever happens to the files, the disk and the
//! process.

mod lines;
mod on_trouble;
mod process_end;
mod rotation;
mod writing;

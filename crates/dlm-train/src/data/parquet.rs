//! Rows of a Parquet file as JSON objects, so that every JSON format reads Parquet too.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use serde_json::{Number, Value};

use crate::data::file::{Complaint, Object, record};
use crate::error::Error;

/// Calls `take` on each row, a column a field. Numbers start from 1.
///
/// A row that cannot be read is an error, because nothing tells where the next one begins.
pub(super) fn each_row(
    path: &Path,
    file: File,
    mut take: impl FnMut(usize, Result<Object, Complaint>) -> Result<(), Error>,
) -> Result<(), Error> {
    let reader = guarded(path, 1, || SerializedFileReader::new(file))?;
    codecs(&reader).map_err(|complaint| record(path, 1, complaint))?;
    let mut rows = guarded(path, 1, || reader.get_row_iter(None))?;
    let mut number = 1;
    while let Some(row) = guarded(path, number, || rows.next().transpose())? {
        take(number, Ok(object(&row)))?;
        number += 1;
    }
    Ok(())
}

/// How many rows there are, if the file tells.
pub(super) fn count(file: File) -> Option<usize> {
    let read = AssertUnwindSafe(|| SerializedFileReader::new(file).ok());
    let reader = catch_unwind(read).ok()??;
    usize::try_from(reader.metadata().file_metadata().num_rows()).ok()
}

/// What the reader gives. Some damage makes it panic, which is an error of the file, too.
fn guarded<T>(path: &Path, row: usize, read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, Error> {
    let broken = |got: String| record(path, row, ("a whole Parquet file".to_owned(), got));
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| broken(error.to_string())),
        Err(_) => Err(broken("damage on which the reader panicked".to_owned())),
    }
}

/// What can be read, and what to do about the rest.
const CODECS: &str = if cfg!(feature = "zstd") {
    "Zstandard, Snappy, gzip or no compression"
} else {
    "Snappy, gzip or no compression (the feature `zstd` reads Zstandard; pyarrow.parquet.write_table(table, path) \
     writes Snappy)"
};

/// Fails on the first column in a codec that is not built in.
fn codecs(reader: &SerializedFileReader<File>) -> Result<(), Complaint> {
    let columns = reader.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns);
    for column in columns {
        match column.compression() {
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) => {}
            Compression::ZSTD(_) if cfg!(feature = "zstd") => {}
            other => {
                let got = format!("{other} in the column `{}`", column.column_path().string());
                return Err((format!("columns in {CODECS}"), got));
            }
        }
    }
    Ok(())
}

fn object(row: &Row) -> Object {
    row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
}

/// Dates and times are the numbers that they are stored as; bytes are text if they are UTF-8.
fn value(field: &Field) -> Value {
    let bytes = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from(bytes),
    };
    let float = |number: f64| Number::from_f64(number).map_or(Value::Null, Value::Number);
    match field {
        Field::Null => Value::Null,
        Field::Bool(bool) => Value::from(*bool),
        Field::Byte(number) => Value::from(*number),
        Field::Short(number) => Value::from(*number),
        Field::Int(number) | Field::Date(number) | Field::TimeMillis(number) => Value::from(*number),
        Field::Long(number)
        | Field::TimeMicros(number)
        | Field::TimestampMillis(number)
        | Field::TimestampMicros(number) => Value::from(*number),
        Field::UByte(number) => Value::from(*number),
        Field::UShort(number) => Value::from(*number),
        Field::UInt(number) => Value::from(*number),
        Field::ULong(number) => Value::from(*number),
        Field::Float16(number) => float(f64::from(*number)),
        Field::Float(number) => float(f64::from(*number)),
        Field::Double(number) => float(*number),
        Field::Decimal(decimal) => bytes(decimal.data()),
        Field::Str(text) => Value::from(text.as_str()),
        Field::Bytes(data) => bytes(data.data()),
        Field::Group(row) => Value::Object(object(row)),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => {
            map.entries().iter().map(|(key, of)| Value::Array(vec![value(key), value(of)])).collect()
        }
    }
}

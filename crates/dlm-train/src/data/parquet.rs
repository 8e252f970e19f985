//! Rows of a Parquet file as JSON objects, so that every JSON format reads Parquet too.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::Compression;
use parquet::data_type::Decimal;
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
    while let Some(row) = guarded(path, number, || rows.next().map(|row| Ok(object(&row?))).transpose())? {
        take(number, Ok(row))?;
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

/// Decimals, which no number of JSON holds whole, are text, as are dates and times; so are bytes if they are UTF-8.
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
        Field::Int(number) => Value::from(*number),
        Field::Long(number) => Value::from(*number),
        Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => Value::from(field.to_string()),
        Field::UByte(number) => Value::from(*number),
        Field::UShort(number) => Value::from(*number),
        Field::UInt(number) => Value::from(*number),
        Field::ULong(number) => Value::from(*number),
        Field::Float16(number) => float(f64::from(*number)),
        // The shortest decimal fraction that is this f32, not the f64 of all its bits.
        Field::Float(number) => float(number.to_string().parse().unwrap_or(f64::from(*number))),
        Field::Double(number) => float(*number),
        Field::Decimal(decimal) => decimal_text(decimal, field),
        Field::Str(text) => Value::from(text.as_str()),
        Field::Bytes(data) => bytes(data.data()),
        Field::Group(row) => Value::Object(object(row)),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => {
            map.entries().iter().map(|(key, of)| Value::Array(vec![value(key), value(of)])).collect()
        }
    }
}

/// A decimal's digits with its point; null for a scale that no decimal has.
fn decimal_text(decimal: &Decimal, field: &Field) -> Value {
    if !(0..=decimal.precision()).contains(&decimal.scale()) {
        return Value::Null;
    }
    // Parquet writes a point after a whole number, too.
    Value::from(field.to_string().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use parquet::data_type::ByteArray;

    use super::*;

    #[test]
    fn a_decimal_is_its_digits_and_its_point() {
        let wide = |unscaled: i128, scale| {
            Decimal::from_bytes(ByteArray::from(unscaled.to_be_bytes().to_vec()), 38, scale)
        };
        let digits = 12_345_678_901_234_567_890_123_456_789_i128;
        for (decimal, expected) in [
            (Decimal::from_i32(1230, 9, 2), "12.30"),
            (Decimal::from_i32(-5, 9, 3), "-0.005"),
            (Decimal::from_i64(42, 18, 0), "42"),
            (Decimal::from_i64(0, 18, 0), "0"),
            (Decimal::from_i64(-700, 18, 1), "-70.0"),
            (Decimal::from_i32(125, 3, 3), "0.125"),
            (wide(digits, 10), "1234567890123456789.0123456789"),
            (wide(-digits, 0), "-12345678901234567890123456789"),
        ] {
            assert_eq!(value(&Field::Decimal(decimal)), Value::from(expected));
        }
        assert_eq!(value(&Field::Decimal(Decimal::from_i32(1, 2, 3))), Value::Null);
        assert_eq!(value(&Field::Decimal(Decimal::from_i32(1, 2, -1))), Value::Null);
    }

    #[test]
    fn numbers_and_dates_are_as_they_are_written() {
        assert_eq!(value(&Field::Float(0.1)).to_string(), "0.1");
        assert_eq!(value(&Field::Long(3)).to_string(), "3");
        assert_eq!(value(&Field::Float(f32::NAN)), Value::Null);
        assert_eq!(value(&Field::Date(19_570)), Value::from("2023-08-01"));
    }
}

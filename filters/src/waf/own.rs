//! Our own rules, `filters/rules/`, built in: what they are for stands in these files.

/// A file of the folder, by its name.
macro_rules! file {
    ($name:literal) => {
        (concat!("vanne/", $name), include_str!(concat!("../../rules/", $name)))
    };
}

/// Files in the order in which they are read: the name under which faults and logs show each, and
/// its text.
pub const OWN_RULES: [(&str, &str); 12] = [
    file!("00-setup.conf"),
    file!("01-sql-injection.conf"),
    file!("02-xss.conf"),
    file!("03-traversal.conf"),
    file!("04-ssrf.conf"),
    file!("05-command-injection.conf"),
    file!("06-deserialisation.conf"),
    file!("07-lookup.conf"),
    file!("08-code-injection.conf"),
    file!("09-scanner.conf"),
    file!("10-protocol.conf"),
    file!("99-prose.conf"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_of_the_folder_are_there_in_their_order() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
        let entries = std::fs::read_dir(folder).unwrap();
        let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<String> = entries.map(|entry| name(entry.unwrap())).collect();
        names.retain(|name| name.ends_with(".conf"));
        names.sort();
        assert_eq!(OWN_RULES.map(|(name, _)| name.trim_start_matches("vanne/")).to_vec(), names);
    }
}

//! What is printed at the first start: lines to copy that do a whole upload.

use std::path::Path;

/// Prints the lines.
pub(super) fn print(base_url: &str, data: &Path) {
    println!(
        "\nThe admin token is in {}. In another terminal, with a file named installer.msi:\n",
        token(data)
    );
    for line in lines(base_url, data) {
        println!("{line}");
    }
    println!("\nThe same in one line: bp artifact upload installer.msi");
}

fn token(data: &Path) -> String {
    data.join("admin.token").display().to_string()
}

/// Five lines for a POSIX shell with curl: where and who, register, initiate, PUT, complete.
fn lines(base_url: &str, data: &Path) -> [String; 5] {
    let json = r#"-H "Authorization: Bearer $BP_API_TOKEN" -H "Content-Type: application/json""#;
    let field = |name: &str| format!(r#"$(printf %s "$UPLOAD" | sed 's/.*"{name}":"\([^"]*\)".*/\1/')"#);
    [
        format!(
            r#"export BP_BASE_URL="{base_url}" BP_API_TOKEN="$(cat '{}')" SHA256="$(sha256sum installer.msi | cut -c1-64)" SIZE="$(wc -c < installer.msi | tr -d ' ')""#,
            token(data)
        ),
        format!(
            r#"curl -sS -X POST "$BP_BASE_URL/v1/artifacts" {json} -d '{{"source_type":"EXTERNAL","external_url":"https://downloads.example.com/installer.msi","sha256":"'"$SHA256"'","size_bytes":'"$SIZE"'}}'"#
        ),
        format!(
            r#"UPLOAD="$(curl -sS -X POST "$BP_BASE_URL/v1/artifacts/uploads" {json} -d '{{"sha256":"'"$SHA256"'","size_bytes":'"$SIZE"',"file_name":"installer.msi"}}')""#
        ),
        format!(
            r#"curl -sS -X PUT "{}" --data-binary @installer.msi -H "Content-Type: application/octet-stream""#,
            field("upload_url")
        ),
        format!(
            r#"curl -sS -X POST "$BP_BASE_URL/v1/artifacts/uploads/{}/complete" -H "Authorization: Bearer $BP_API_TOKEN""#,
            field("upload_id")
        ),
    ]
}

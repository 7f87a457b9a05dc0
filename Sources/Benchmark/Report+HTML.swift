// The report as a page that needs nothing but itself: no script, no font, no image from anywhere.

extension Report {
    public var html: String {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>sluice bench, \(escaped(circumstances.date))</title>
        <style>\(Self.style)</style>
        </head>
        <body>
        <h1>sluice bench</h1>
        <ul>
        \(circumstances.lines.map { "<li>\(marked($0))</li>" }.joined(separator: "\n"))
        </ul>
        <p>\(marked(explanation))</p>
        \(tables.map(section).joined(separator: "\n"))
        </body>
        </html>

        """
    }

    private func section(_ table: Table) -> String {
        let figure = table.figure
        let rows = table.rows.map { row in
            "<tr>" + row.cells.map { "<td>\(escaped($0))</td>" }.joined() + "</tr>"
        }
        return """
            <section id="\(escaped(figure.name))">
            <h2>\(escaped(figure.title))</h2>
            <p>\(escaped(figure.unit)), \(figure.direction)</p>
            \(Plot(table, reference: reference, control: control).svg)
            <table>
            <thead><tr><th>road</th><th>median</th><th>ratio</th><th>interval</th><th></th></tr></thead>
            <tbody>
            \(rows.joined(separator: "\n"))
            </tbody>
            </table>
            </section>
            """
    }

    private static let style = """
        :root { color-scheme: light dark; --ink: #1c2126; --paper: #fff; --line: #d5d9de; --bar: #3a7bd5; \
        --kernel: #8a929c; --control: #c9ced5 }
        @media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --paper: #15181c; --line: #3a4048; \
        --bar: #6aa3f0; --kernel: #7b848f; --control: #444b54 } }
        body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); \
        max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
        table { border-collapse: collapse; width: 100% }
        th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); \
        font-variant-numeric: tabular-nums }
        svg { width: 100%; height: auto; margin: .5rem 0 } svg text { fill: var(--ink); font-size: 13px }
        .bar { fill: var(--bar) } .reference { fill: var(--kernel) } .control { fill: var(--control) }
        .whisker { stroke: var(--ink); stroke-width: 1.5 }
        """
}

/// Text as it may stand between tags and in quoted attributes.
func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
        switch character {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        case "'": result += "&#39;"
        default: result.append(character)
        }
    }
    return result
}

/// The same, with the report's own marks of Markdown: code and emphasis.
func marked(_ text: String) -> String {
    var result = ""
    for (mark, tag) in [("`", "code"), ("*", "em")] {
        let parts = (result.isEmpty ? escaped(text) : result)
            .split(separator: Character(mark), omittingEmptySubsequences: false)
        // An odd mark out is a character as any other.
        guard parts.count % 2 == 1 else {
            result = parts.joined(separator: mark)
            continue
        }
        result = parts.enumerated().map { index, part in
            index % 2 == 1 ? "<\(tag)>\(part)</\(tag)>" : String(part)
        }.joined()
    }
    return result
}

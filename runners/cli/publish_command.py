"""The command that fills the generated parts of the project's README files; nothing else edits them."""

import typer

from runners.cli.options import console

app = typer.Typer()
VERDICT = ("lowres-cpu", "lowres-mpnet")
"""The suites that are drawn together, one per encoder."""


@app.command()
def publish() -> None:
    """Remake the committed tables, figures and generated parts of every README from the committed records."""
    from paper_figures.make import make_together, make_unless_made
    from results.loading.layout import ROOT, Layout
    from results.tabulating.collect import collect, write_tables
    from results.tabulating.methods import NAME
    from results.tabulating.readme import marked, part, put, readme_files
    from results.tabulating.render.markdown import markdown
    from runners.cli.listings import published_methods_table

    layout = Layout()
    for suite in layout.suites():
        if layout.archive(suite).exists():
            console.print(f"{suite}: tables and figures", highlight=False)
            collect(suite, layout)
            make_unless_made(suite, layout)
    if not make_together(VERDICT, layout):
        console.print(
            f"no figure over {' and '.join(VERDICT)} yet: one has no, or too few, committed records", highlight=False
        )
    table = published_methods_table()
    write_tables([table], layout.tables(NAME).parent)
    for readme in readme_files():
        for name in marked(readme):
            content = markdown(table).strip() if name == NAME else part(name, layout, readme.parent)
            if put(readme, name, content):
                console.print(f"{readme.relative_to(ROOT)}: {name}", highlight=False)

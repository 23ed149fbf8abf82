package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"
)

type column struct {
	Values, Nulls, Sum int64
	Pages              int
}

type table struct {
	Rows    int64
	Columns map[string]*column
}

func must(err error, what ...any) {
	if err != nil {
		fmt.Println(what, err)
		os.Exit(1)
	}
}

func read(chunk parquet.ColumnChunk, c *column, name string) {
	index, err := chunk.ColumnIndex()
	must(err, name, "column index")
	offsets, err := chunk.OffsetIndex()
	must(err, name, "offset index")
	pages := chunk.Pages()
	defer pages.Close()
	var row int64
	for n := 0; ; n++ {
		page, err := pages.ReadPage()
		if err == io.EOF {
			if n != offsets.NumPages() || n != index.NumPages() {
				must(fmt.Errorf("%d pages, %d and %d indexed", n, offsets.NumPages(), index.NumPages()), name)
			}
			return
		}
		must(err, name, "page", n)
		if offsets.FirstRowIndex(n) != row {
			must(fmt.Errorf("page %d begins at row %d, the index says %d", n, row, offsets.FirstRowIndex(n)), name)
		}
		row += page.NumRows()
		c.Pages++
		values := make([]parquet.Value, page.NumValues())
		for at, r := 0, page.Values(); at < len(values); {
			k, err := r.ReadValues(values[at:])
			at += k
			if err != io.EOF {
				must(err, name, "values")
			} else if at < len(values) {
				must(io.ErrUnexpectedEOF, name)
			}
		}
		for _, v := range values {
			if v.IsNull() {
				c.Nulls++
				continue
			}
			c.Values++
			if k := v.Kind(); k == parquet.Int64 || k == parquet.Int32 {
				c.Sum += v.Int64()
			}
			if index.NullPage(n) || chunk.Type().Compare(v, index.MinValue(n)) < 0 || chunk.Type().Compare(v, index.MaxValue(n)) > 0 {
				must(fmt.Errorf("%v is not within the bounds of page %d", v, n), name)
			}
		}
		parquet.Release(page)
	}
}

func main() {
	out := map[string]table{}
	for _, path := range os.Args[1:] {
		f, err := os.Open(path)
		must(err)
		info, err := f.Stat()
		must(err)
		file, err := parquet.OpenFile(f, info.Size())
		must(err, path)
		t := table{file.NumRows(), map[string]*column{}}
		names := file.Schema().Columns()
		for _, group := range file.RowGroups() {
			for i, chunk := range group.ColumnChunks() {
				name := strings.Join(names[i], ".")
				if t.Columns[name] == nil {
					t.Columns[name] = &column{}
				}
				read(chunk, t.Columns[name], path+" "+name)
			}
			// Rows again, from the middle: pages are found by the offset index.
			rows := group.Rows()
			must(rows.SeekToRow(group.NumRows()/2), path, "seek")
			buffer, left := make([]parquet.Row, 64), group.NumRows()-group.NumRows()/2
			for {
				n, err := rows.ReadRows(buffer)
				left -= int64(n)
				if err == io.EOF {
					break
				}
				must(err, path, "rows")
			}
			if left != 0 {
				must(fmt.Errorf("%d rows are missing after a seek", left), path)
			}
			rows.Close()
		}
		out[path] = t
	}
	must(json.NewEncoder(os.Stdout).Encode(out))
}

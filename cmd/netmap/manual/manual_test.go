package manual

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// tool is a program with two commands, of which one is hidden.
func tool() (root, cut *cobra.Command) {
	root = &cobra.Command{Use: "tool", Short: "Cut and paste", Long: "tool is a tool."}
	run := func(*cobra.Command, []string) {}
	cut = &cobra.Command{Use: "cut [file...]", Short: "Cut a zero-copy file", Run: run,
		Example: "  tool cut -n 3 'a~b'", Long: `cut cuts.
.start and 'quotes' and C:\path, up to -n bytes.

  first   one
  second  two

The end.`}
	cut.Flags().IntP("number", "n", 7, "cut so many `bytes`")
	cut.Flags().CountP("verbose", "v", "say more")
	cut.Flags().BoolP("quiet", "q", false, "say nothing")
	cut.Flags().String("secret", "", "for us")
	cut.Flags().MarkHidden("secret")
	cut.Flags().String("device", "", "cut on this")
	root.AddCommand(cut, &cobra.Command{Use: "man", Short: "Hidden", Hidden: true, Run: run})
	return root, cut
}

func TestPage(t *testing.T) {
	_, cut := tool()
	got := page(cut, time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
	for _, want := range []string{
		`.TH "TOOL-CUT" "8" "2026-11-23" "netmap `,
		".SH \"NAME\"\ntool\\-cut \\- cut a zero-copy file\n",
		".SH \"SYNOPSIS\"\n\\fBtool cut\\fR [file...] [flags]\n",
		"cut cuts.\n\\&.start and \\(aqquotes\\(aq and C:\\epath, up to \\-n bytes.\n",
		".PP\n.RS 4\n.nf\nfirst   one\nsecond  two\n.fi\n.RE\n.PP\nThe end.\n",
		".TP\n\\fB\\-n\\fR, \\fB\\-\\-number\\fR \\fIbytes\\fR\ncut so many bytes (default 7)\n",
		".TP\n\\fB\\-q\\fR, \\fB\\-\\-quiet\\fR\nsay nothing\n",
		".TP\n\\fB\\-v\\fR, \\fB\\-\\-verbose\\fR\nsay more\n",
		"\\fB\\-\\-device\\fR \\fIstring\\fR\n",
		".SH \"EXAMPLES\"\n.RS 4\n.nf\ntool cut \\-n 3 \\(aqa\\(tib\\(aq\n.fi\n.RE\n",
		"\\fBtool\\fR(8)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "secret") {
		t.Error("the page tells of a hidden flag")
	}
}

func TestRootPage(t *testing.T) {
	root, _ := tool()
	got := page(root, time.Now())
	if !strings.Contains(got, ".TP\n\\fBtool\\-cut\\fR(8)\nCut a zero-copy file.\n") ||
		strings.Contains(got, "Hidden") {
		t.Errorf("the page of the program lists the wrong commands:\n%s", got)
	}
}

func TestProse(t *testing.T) {
	var r roff
	r.prose(strings.Repeat("word ", 30) + ".dot")
	for l := range strings.Lines(r.String()) {
		if len(l) > 81 || l[0] == '.' {
			t.Errorf("line %q", l)
		}
	}
}

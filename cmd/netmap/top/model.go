package top

import (
	"context"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
)

// model is the state of the screen. It polls the running daemons and commands, and handles keys.
type model struct {
	screen
	ctx     context.Context
	get     func(context.Context) ([]cli.Found, error)
	all     []cli.Found // with their last answers
	address string      // of the one that is shown
}

func newModel(ctx context.Context, get func(context.Context) ([]cli.Found, error),
	first []cli.Found, interval time.Duration) *model {
	m := &model{screen: screen{interval: interval, theme: colours()}, ctx: ctx, get: get, all: first}
	m.show(0)
	return m
}

// show switches to framework i of those that answered.
func (m *model) show(i int) {
	m.place, m.places = i, len(m.all)
	if m.address != m.all[i].Address {
		m.address, m.now, m.before, m.trouble = m.all[i].Address, m.all[i].Status, nil, ""
	}
}

// shown is the index of the framework that is shown, -1 if it did not answer.
func (m *model) shown(all []cli.Found) int {
	return slices.IndexFunc(all, func(f cli.Found) bool { return f.Address == m.address })
}

// answer holds the answers of all frameworks.
type answer struct {
	all []cli.Found
	err error
}

// lookAgain is the message that it is time to poll again.
type lookAgain struct{}

// Init implements tea.Model.
func (m *model) Init() tea.Cmd { return m.wait() }

func (m *model) wait() tea.Cmd {
	return tea.Tick(m.interval, func(time.Time) tea.Msg { return lookAgain{} })
}

func (m *model) ask() tea.Msg {
	all, err := m.get(m.ctx)
	return answer{all, err}
}

// Update implements tea.Model.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		if msg.Width > 0 && msg.Height > 0 { // otherwise the terminal does not know its size
			m.width, m.height = msg.Width, msg.Height
		}
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	case lookAgain:
		if m.paused {
			return m, m.wait()
		}
		return m, m.ask
	case answer:
		m.take(msg)
		return m, m.wait()
	}
	return m, nil
}

// take shows the answer of the shown framework. If it did not answer, the last numbers stay, with
// the reason.
func (m *model) take(a answer) {
	at := m.shown(a.all)
	switch {
	case a.err != nil:
		m.trouble = a.err.Error()
	case m.paused: // paused after the request
	case at < 0:
		m.all, m.place, m.places = a.all, -1, len(a.all)
		m.trouble = m.now.Title() + " is gone, or does not answer: n shows the next one"
	default:
		m.trouble = ""
		m.before, m.now = earlier(m.all, a.all[at]), a.all[at].Status
		m.all = a.all
		m.show(at)
	}
	m.scroll = min(m.scroll, m.lastScroll())
}

// key handles a key.
func (m *model) key(name string) tea.Cmd {
	switch name {
	case "q", "esc", "ctrl+c":
		return tea.Quit
	case "tab", "right", "l":
		m.turn(m.view + 1)
	case "shift+tab", "left", "h":
		m.turn(m.view + views - 1)
	case "1", "2", "3", "4", "5":
		m.turn(view(name[0] - '1'))
	case "s":
		m.order = (m.order + 1) % orders
	case "n", "N":
		m.show((m.place + map[string]int{"n": 1, "N": len(m.all) - 1}[name] + len(m.all)) % len(m.all))
	case "p", "space":
		m.paused = !m.paused
	case "+":
		m.interval = min(m.interval*2, time.Minute)
	case "-":
		m.interval = max(m.interval/2, shortest)
	default:
		m.move(name)
	}
	return nil
}

func (m *model) turn(to view) { m.view, m.scroll = to%views, 0 }

// move scrolls.
func (m *model) move(key string) {
	page := max(m.height-chrome-1, 1)
	by := map[string]int{"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -page, "pgdown": page,
		"home": -1 << 20, "end": 1 << 20}[key]
	m.scroll = max(min(m.scroll+by, m.lastScroll()), 0)
}

// View implements tea.Model.
func (m *model) View() tea.View {
	v := tea.View{AltScreen: true}
	if m.width > 0 {
		v.SetContent(m.render())
	}
	return v
}

// colours is the theme of a terminal, within the colours that it has.
func colours() theme {
	style := lipgloss.NewStyle
	styles := map[look]lipgloss.Style{
		dim:    style().Faint(true),
		strong: style().Bold(true),
		bad:    style().Foreground(lipgloss.Color("9")).Bold(true),
		warn:   style().Foreground(lipgloss.Color("11")),
		good:   style().Foreground(lipgloss.Color("10")),
		title:  style().Foreground(lipgloss.Color("14")).Bold(true),
		bar:    style().Background(lipgloss.Color("4")).Foreground(lipgloss.Color("15")).Bold(true),
		chosen: style().Reverse(true).Bold(true),
	}
	return func(l look, s string) string {
		if s == "" || l == plain {
			return s
		}
		return styles[l].Render(s)
	}
}

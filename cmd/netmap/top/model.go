package top

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"github.com/seed-48afdc40/netmap/internal/status"
)

// model is the screen as it goes on: it asks the daemon, and obeys keys.
type model struct {
	screen
	ctx    context.Context
	daemon *status.Daemon
}

func newModel(ctx context.Context, d *status.Daemon, first *status.Status, interval time.Duration) *model {
	return &model{screen{now: first, interval: interval, theme: colours()}, ctx, d}
}

// answer is what the daemon said.
type answer struct {
	status *status.Status
	err    error
}

// look says that it is time to look again.
type lookAgain struct{}

// Init implements tea.Model.
func (m *model) Init() tea.Cmd { return m.wait() }

func (m *model) wait() tea.Cmd {
	return tea.Tick(m.interval, func(time.Time) tea.Msg { return lookAgain{} })
}

func (m *model) ask() tea.Msg {
	s, err := m.daemon.Get(m.ctx)
	return answer{s, err}
}

// Update implements tea.Model.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
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

// take shows what the daemon said, or why it says nothing: then the last numbers stay.
func (m *model) take(a answer) {
	switch {
	case a.err != nil:
		m.trouble = a.err.Error()
	case m.paused: // since it was asked
	default:
		m.trouble = ""
		m.before, m.now = m.now, a.status
		if m.before.PID != m.now.PID { // another daemon counts from 0
			m.before = nil
		}
	}
	m.scroll = min(m.scroll, m.lastScroll())
}

// key obeys a key.
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
	by := map[string]int{"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -page, "pgdown": page, "home": -1 << 20, "end": 1 << 20}[key]
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

// colours is the theme of a terminal, as far as it has colours.
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

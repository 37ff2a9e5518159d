package event

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

type login struct {
	User     string `bson:"user"`
	Password string `bson:"password,omitempty" fleetcast:"secret"`
}

type inlined struct {
	Token string `fleetcast:"secret"`
}

type everything struct {
	Login   login            `bson:"login"`
	Pointer *login           `bson:"pointer"`
	List    []login          `bson:"list"`
	ByName  map[string]login `bson:"by_name"`
	Inlined inlined          `bson:",inline"`
	Env     []string         `bson:"env" fleetcast:"secret"`
	Sealed  sealed           `bson:"sealed"`
	Skipped login            `bson:"-"`
	hidden  login
	Plain   string `bson:"plain"`
}

// sealed encodes itself, so nobody knows where its key is.
type sealed struct {
	Key string `fleetcast:"secret"`
}

func (s sealed) MarshalBSON() ([]byte, error) { return bson.Marshal(bson.M{"elsewhere": s.Key}) }

type tree struct {
	Secret   string  `bson:"secret" fleetcast:"secret"`
	Children []*tree `bson:"children"`
}

type harmless struct {
	Next *harmless `bson:"next"`
	Name string    `bson:"name"`
}

func TestSecretFields(t *testing.T) {
	for name, test := range map[string]struct {
		parameters any
		want       []string
	}{
		"none":          {nil, nil},
		"untyped":       {bson.M{"secret": "shown"}, nil},
		"a field":       {login{}, []string{"password"}},
		"of a pointer":  {&login{}, []string{"password"}},
		"in a map":      {map[string]login{}, []string{"*.password"}},
		"that calls":    {tree{}, []string{"children", "secret"}},
		"without":       {harmless{}, nil},
		"encoded alone": {sealed{}, []string{"*"}},
		"everything": {everything{hidden: login{}}, []string{
			"by_name.*.password", "env", "list.password", "login.password", "pointer.password", "sealed", "token",
		}},
	} {
		require.Equal(t, test.want, New("a", "b", test.parameters).Secret, name)
	}
	e := New("a", "b", login{}, Secret("user", "password"))
	require.Equal(t, []string{"password", "user"}, e.Secret)
	require.Equal(t, []string{"password"}, New("a", "b", login{}).Secret, "the types' own are left as they are")
}

func TestRedacted(t *testing.T) {
	l := login{User: "ann", Password: "hunter2"}
	all := everything{
		Login: l, Pointer: &l, List: []login{l, l}, ByName: map[string]login{"x": l, "y.z": l},
		Inlined: inlined{"hunter2"}, Env: []string{"PASSWORD=hunter2"}, Sealed: sealed{"hunter2"}, Plain: "plain",
	}
	for name, test := range map[string]struct {
		event Event
		want  string
	}{
		"none":    {New("a", "b", nil), ``},
		"a field": {New("a", "b", l), `{"user":"ann","password":"****"}`},
		"everything": {New("a", "b", all), `{"login":{"user":"ann","password":"****"},"pointer":{"user":"ann","password":"****"},` +
			`"list":[{"user":"ann","password":"****"},{"user":"ann","password":"****"}],` +
			`"by_name":{"x":{"user":"ann","password":"****"},"y.z":{"user":"ann","password":"****"}},` +
			`"token":"****","env":"****","sealed":"****","plain":"plain"}`},
		"by path":       {New("a", "b", bson.D{{Key: "db", Value: bson.D{{Key: "password", Value: 7}, {Key: "host", Value: "h"}}}}, Secret("db.password")), `{"db":{"password":"****","host":"h"}}`},
		"dots in a key": {New("a", "b", bson.D{{Key: "db.password", Value: 7}}, Secret("db.password")), `{"db.password":"****"}`},
		"nested lists":  {New("a", "b", bson.M{"l": bson.A{bson.A{bson.M{"p": 1}}}}, Secret("l.p")), `{"l":[[{"p":"****"}]]}`},
		"all":           {New("a", "b", bson.M{"x": bson.M{"y": 1}}, Secret("*")), `{"x":"****"}`},
		"not there":     {New("a", "b", bson.M{"x": 1}, Secret("y", "x.y")), `{"x":1}`},
	} {
		got := test.event.Redacted()
		if test.want == "" {
			require.Empty(t, got, name)
			continue
		}
		require.NoError(t, got.Validate(), name)
		text, err := bson.MarshalExtJSON(got, false, false)
		require.NoError(t, err)
		require.JSONEq(t, test.want, string(text), name)
	}
	broken := Event{Parameters: bson.Raw{9, 0, 0, 0, 2, 'a', 0, 1, 0}, Secret: []string{"b"}}
	require.Nil(t, broken.Redacted(), "what cannot be read is not shown")
}

func TestSecretSurvivesItsEncoding(t *testing.T) {
	e := New("a", "b", login{"ann", "hunter2"})
	raw, err := e.encode()
	require.NoError(t, err)
	got, err := Decode(setTime(t, raw, bson.Timestamp{T: 1}))
	require.NoError(t, err)
	require.Equal(t, []string{"password"}, got.Secret)
	var l login
	require.NoError(t, bson.Unmarshal(got.Parameters, &l))
	require.Equal(t, "hunter2", l.Password, "the subscriber gets it as it is")

	wrong, err := bson.Marshal(bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "ts", Value: bson.Timestamp{T: 1}},
		{Key: "name", Value: "a"}, {Key: "action", Value: "b"}, {Key: "secret", Value: bson.A{1}}})
	require.NoError(t, err)
	_, err = Decode(wrong)
	require.ErrorContains(t, err, "malformed event: secret")
}

func FuzzRedact(f *testing.F) {
	seed, err := bson.Marshal(bson.D{{Key: "a", Value: bson.A{bson.D{{Key: "b", Value: "hunter2"}}}}})
	require.NoError(f, err)
	f.Add(seed, "a.b")
	f.Fuzz(func(t *testing.T, raw []byte, path string) {
		got := Event{Parameters: raw, Secret: []string{path, "*"}}.Redacted()
		if len(raw) == 0 || got == nil {
			return
		}
		elements, err := got.Elements()
		require.NoError(t, err)
		for _, e := range elements {
			require.Equal(t, Hidden, e.Value().StringValue())
		}
	})
}

// BenchmarkNew is what the look for secrets costs.
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		_ = New("example", "do", login{User: "ann"})
	}
}
